"""Keyed calls as durable steps of DBOS workflows. Needs the extra `dbos`.

workflow ─▶ step: `client.once`, recorded in the ledger before it is sent ─▶ step: images into the sink
"""

# Evaluated annotations: `typing.get_type_hints` works on the class.

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice, zip_longest
from typing import ClassVar, TypeAlias, TypeVar, cast

from ideogram_async._batch.identity import id_problems, job_key
from ideogram_async._batch.lists import read_jobs
from ideogram_async._batch.source import Jobs, iterate_jobs
from ideogram_async._client import Ideogram
from ideogram_async._ledger.claims import key_problem
from ideogram_async._ledger.serialization import fingerprint_of
from ideogram_async._operations import Request
from ideogram_async._pipeline.uploads import has_files
from ideogram_async._requirements import needs_extra
from ideogram_async._sinks.sink import Sink, Stored, check_name
from ideogram_async._transport.tasks import in_thread
from ideogram_async.errors import Billed, IdeogramError, InvalidRequestError, JobConflictError, WaitTimeout
from ideogram_async.files import HasUrl
from ideogram_async.integrations._steps import (
    Step,
    error_to_json,
    pack,
    read_answer,
    read_stored,
    run_once,
    stored_step,
    unpack,
)
from ideogram_async.models.images import ImageAnswer

with needs_extra(__name__, "dbos"):
    from dbos import DBOS, SetWorkflowID, WorkflowSerializationFormat

__all__ = ["Images"]

R = TypeVar("R")
Work: TypeAlias = Callable[[], Awaitable[Step]]
JOB = "ideogram_async.job"
"""Name of the workflow of a job that was enqueued."""
PAUSES = (10.0, 60.0)
"""Seconds between the steps of a call, or of a download, that failed and was not billed. Their number never changes:
workflows that are recovered count their steps by it."""
CONCURRENT = 16
"""Jobs that are enqueued at once."""


class Images:
    """Paid calls and downloads as steps of DBOS workflows. Create it before `DBOS.launch()`.

        images = Images(client, sink=FolderSink("images/"))

        @DBOS.workflow()
        async def hero(order: str, prompt: str) -> list[str]:
            answer = await images.send(Generate(prompt), key=order)
            return [kept.uri for kept in await images.keep(answer, name=order)]

    However often DBOS repeats a step, on however many executors, each key is bought once; see `Ideogram.once`. Launch
    DBOS inside the event loop that uses the client: a client and its ledger belong to one.

    Args:
        client: A client with a ledger that all executors share.
        sink: Where `keep` and `enqueue` store images. Its objects can be sent as `ImageFile.from_url(stored.uri)`.

    Raises:
        TypeError: If the client has no ledger.
        ImportError: If the extra `dbos` is not installed.
    """

    _latest: "ClassVar[Images | None]" = None

    def __init__(self, client: Ideogram, *, sink: Sink | None = None) -> None:
        if client._pipeline.config.ledger is None:  # pyright: ignore[reportPrivateUsage]
            raise TypeError("client has no ledger: pass Ideogram(ledger=SqliteLedger(path)) or another one")

        async def job(packed: str, key: str) -> list[str]:
            answer = cast(ImageAnswer, await self.send(unpack(packed, sink), key=key))
            return [stored.uri for stored in await self.keep(answer, name=key)]

        self._client = client
        self._sink = sink
        # Portable: JSON, also of the error that ends it.
        workflow = DBOS.workflow(name=JOB, serialization_type=WorkflowSerializationFormat.PORTABLE)
        self._job = workflow(job)
        Images._latest = self

    async def send(self, request: Request[R], *, key: str) -> R:
        """Send a request as a step, unless the call of this key was sent before, and return its answer.

        DBOS records the answer, so a workflow that is recovered continues with it. A call that was not billed and may
        succeed later is sent again, in up to three steps with pauses that survive a restart. One that the service has
        accepted and not finished in time is not sent again: they wait for it.

        Args:
            request: A request that costs money. Its files have URLs, or are objects of the sink: another executor
                cannot read the files of this one.
            key: The name of this purchase, 1 to 255 bytes, such as an order id that is an argument of the workflow.

        Raises:
            InvalidRequestError: If the request breaks rules, has other files, or the key cannot be used; nothing was
                sent.
            InDoubtError: If an attempt may have been billed, and its answer is unknown. Resolve the key in the ledger,
                then rewind the workflow.
            dbos.error.DBOSException: If this is not called in a workflow.
            IdeogramError: What `Ideogram.once` raises.
        """
        packed = pack(request)

        async def work() -> Step:
            await _check_fork(key)
            return await run_once(self._client, packed, key, self._sink)

        return read_answer(request, await _run_steps("ideogram_async.send", work))

    async def keep(self, image: str | HasUrl | ImageAnswer, *, name: str) -> tuple[Stored, ...]:
        """Store an image, or all images of an answer, in the sink, as a step; see `Ideogram.keep`. Costs nothing.

        Args:
            image: A link, an image of an answer, or an answer.
            name: The name without its extension. It may contain `/`.

        Raises:
            TypeError: If there is no sink.
            dbos.error.DBOSException: If this is not called in a workflow.
            DownloadError: What `Ideogram.keep` raises, like its other errors after up to three steps.
        """
        sink = self._get_sink("keep")

        async def work() -> Step:
            kept = await self._client.keep(image, sink, name=name)
            return stored_step(kept)

        return read_stored(await _run_steps("ideogram_async.keep", work))

    async def enqueue(self, jobs: str | os.PathLike[str] | Jobs, *, queue: str, prefix: str) -> list[str]:
        """Enqueue a workflow for each job, which sends its request and stores its images; return their ids.

        The id of a workflow is `prefix/id`, with the id of the job, or a key that is derived from its content. It is
        the key in the ledger and the name in the sink, too. Enqueueing a job again has no effect. The result of a
        workflow is a list of URIs.

        Args:
            jobs: The path of a file for `read_jobs`, or jobs and requests. All are checked before the first one is
                enqueued.
            queue: The name of a queue that is registered, with `DBOS.register_queue_async`.
            prefix: The name of this list, such as `campaign`.

        Raises:
            InvalidRequestError: With the faults of all jobs, such as files without a URL; nothing was enqueued.
            JobConflictError: If an id is used by another request. Other jobs may have been enqueued.
            TypeError: If there is no sink.
            RuntimeError: If another `Images` was created after this one: it runs the jobs of this process.
            ValueError: If the queue is not registered.
        """
        self._get_sink("enqueue")
        if Images._latest is not self:
            raise RuntimeError("another Images was created after this one, and runs the jobs of queues: use that one")

        items = await in_thread(lambda: read_jobs(jobs)) if isinstance(jobs, str | os.PathLike) else jobs
        packed = await _pack_jobs(items, prefix)
        if await DBOS.retrieve_queue_async(queue) is None:
            raise ValueError(f"queue {queue!r} is not registered: await DBOS.register_queue_async({queue!r})")

        remaining = iter(packed.items())
        while group := [*islice(remaining, CONCURRENT)]:
            await asyncio.gather(*(self._enqueue_job(queue, *item) for item in group))

        return [*packed]

    async def _enqueue_job(self, queue: str, workflow_id: str, packed: str) -> None:
        with SetWorkflowID(workflow_id):
            handle = await DBOS.enqueue_workflow_async(queue, self._job, packed, workflow_id)

        status = await handle.get_status()
        if status.input is not None and packed not in status.input["args"]:
            raise JobConflictError(f"workflow {workflow_id!r} has another request; nothing was sent")

    def _get_sink(self, method: str) -> Sink:
        if self._sink is None:
            raise TypeError(f"{method} needs a sink: pass Images(client, sink=...)")

        return self._sink


async def _pack_jobs(jobs: Jobs, prefix: str) -> dict[str, str]:
    """Return the packed requests of jobs by the ids of their workflows.

    Raises:
        InvalidRequestError: With the faults of all jobs.
        JobConflictError: If two jobs have one id.
    """
    packed: dict[str, str] = {}
    problems: list[tuple[str, str]] = []
    occurrences: Counter[str] = Counter()
    async for job in iterate_jobs(jobs):
        try:
            text = pack(job.request)
        except InvalidRequestError as error:
            faults, text = error.problems, ""
        else:
            # Files are checked when they are read, by the worker.
            faults = () if has_files(job.request) else tuple(job.request.problems())

        fingerprint = fingerprint_of(text) if text else ""
        job_id = job.id or job_key(fingerprint, id=None, occurrence=occurrences[fingerprint])
        occurrences[fingerprint] += 1
        name = f"{prefix}/{job_id}"
        faults = (*faults, *id_problems(job.id), *_name_problems(name))
        problems += [(f"{job_id}: {field}", problem) for field, problem in faults]
        if not faults and packed.setdefault(name, text) != text:
            raise JobConflictError(f"two jobs have the id {job_id!r}; nothing was enqueued")

    if problems:
        raise InvalidRequestError(problems, subject="jobs")

    return packed


def _name_problems(name: str) -> list[tuple[str, str]]:
    """Return why a name cannot be that of a workflow, its key and its images."""
    problem = key_problem(name)
    try:
        check_name(name)
    except ValueError as error:
        problem = problem or str(error)

    return [] if problem is None else [("id", problem)]


async def _check_fork(key: str) -> None:
    """Refuse a key that contains the id of a fork: the call of its original was bought under another one.

    Raises:
        InvalidRequestError: If it does.
    """
    workflow_id = DBOS.workflow_id
    if not workflow_id or not isinstance(key, str) or workflow_id not in key:
        return

    status = await DBOS.get_workflow_status_async(workflow_id)
    if status is not None and status.forked_from:
        rule = (
            f"contains the id of a workflow that was forked from {status.forked_from!r}, so the call would be bought"
            " again: rewind that workflow instead, or pass the key as an argument of the workflow"
        )
        raise InvalidRequestError([("key", rule)], subject="call")


async def _run_steps(name: str, work: Work) -> Step:
    """Run work as a step, and again as further ones while its error was not billed and may pass."""
    # Drawn at once, so that calls that run side by side have the same steps whenever the workflow is repeated.
    steps = [DBOS.reserve_step() for _ in range(len(PAUSES) + 1)]
    result: Step = {}
    for step, pause in zip_longest(steps, PAUSES):
        result = await step.run_async({"name": name, "retries_allowed": False}, partial(_run_step, work, pause))
        retry_at = result.get("retry_at")
        if not isinstance(retry_at, float):
            break

        await asyncio.sleep(max(0.0, retry_at - time.time()))

    return result


async def _run_step(work: Work, pause: float | None) -> Step:
    """Return the result of work, or its error as JSON, with the time to repeat it if that may help.

    Args:
        work: A call or a download.
        pause: Seconds before it is repeated; `None` after the last time.
    """
    problem: Step
    try:
        return await work()
    except IdeogramError as error:
        # To wait again for a generation that was accepted costs nothing.
        is_free = error.retryable and error.billed is Billed.NO
        problem, may_pass = error_to_json(error), is_free or isinstance(error, WaitTimeout)
        pause = pause and max(pause, getattr(error, "retry_after", None) or 0.0)
    except OSError as error:
        if pause is None:
            raise

        # An error of the sink.
        problem = {"type": "OSError", "message": str(error)}
        may_pass = True

    step: Step = {"error": problem}
    if may_pass and pause is not None:
        step["retry_at"] = time.time() + pause

    return step
