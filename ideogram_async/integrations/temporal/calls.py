"""Paid calls and downloads, for workflows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.exceptions import TimeoutError as ActivityTimeoutError

from ideogram_async._ledger.rules import CallState
from ideogram_async._operations import Request
from ideogram_async._sinks.sink import Stored
from ideogram_async.errors import AmbiguousError, IdeogramError, InvalidRequestError, Phase, WithheldImageError
from ideogram_async.files import HasUrl
from ideogram_async.integrations._steps import Step, pack, read_answer, read_stored, step_of
from ideogram_async.integrations.temporal.failures import ending_workflow, from_details
from ideogram_async.integrations.temporal.heartbeats import read_entry
from ideogram_async.integrations.temporal.worker import KEEP, PAID
from ideogram_async.models.images import ImageAnswer

R = TypeVar("R")
HEARTBEAT_TIMEOUT = timedelta(seconds=10)
START_TO_CLOSE = timedelta(hours=1)
"""Timeout of one attempt. Its call may be queued for most of that time."""

LINK_LIFETIME = timedelta(hours=24)
PAID_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=5), backoff_coefficient=3.0, maximum_attempts=4)
KEEP_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=5))
WAIT_RETRIES = replace(KEEP_RETRIES, non_retryable_error_types=["GenerationFailed"])


async def paid(request: Request[R], *, key: str) -> R:
    """Send a request in an activity, unless the call of this key was sent before, and return its answer.

        answer = await paid(Generate("a fox"), key=workflow.info().workflow_id)

    To be called in a workflow. An attempt whose worker is lost is followed by another one, four in all, that waits for
    the answer, returns the recorded one, or raises `InDoubtError`. So does a call that was not billed and may succeed
    later. Without a ledger, an accepted call is waited for up to 24 hours, however many workers are lost.

    Args:
        request: A request that costs money. Its files have URLs, or are objects of the worker's sink: a worker cannot
            read the files of a workflow.
        key: The name of this purchase, 1 to 255 bytes. The id of the workflow buys once however often the workflow is
            run; with the id of the run each run buys.

    Raises:
        InvalidRequestError: If the request breaks rules, has other files, or the key cannot be used; nothing was sent.
        InDoubtError: If an attempt may have been billed, and its answer is unknown. Resolve the key in the ledger.
        AmbiguousError: If all attempts timed out. The ledger has the state of the call: with the same key, `paid` waits
            for one that was accepted, and sends none again that may have been billed.
        IdeogramError: What `Ideogram.once` raises. If the workflow does not catch one of these errors, it fails.
        ActivityError: If the activity was canceled, or failed for another reason.
    """
    try:
        if not isinstance(request, Request):
            rule = (
                f"is another class: import {type(request).__name__} in `with workflow.unsafe.imports_passed_through():`"
            )
            raise InvalidRequestError([("request", rule)], subject="call")

        step = await _run(PAID, [pack(request), key], PAID_RETRIES, start_to_close=START_TO_CLOSE, key=key)
        return read_answer(request, step)
    except IdeogramError as error:
        raise ending_workflow(error) from error


async def keep(image: str | HasUrl | ImageAnswer, *, name: str) -> tuple[Stored, ...]:
    """Store an image, or all images of an answer, in the worker's sink; see `Ideogram.keep`. Costs nothing.

    To be called in a workflow. Failed downloads are retried for up to 24 hours: no link is valid for longer.

    Args:
        image: A link, an image of an answer, or an answer.
        name: The name without its extension. It may contain `/`.

    Raises:
        DownloadError: What `Ideogram.keep` raises. If the workflow does not catch it, it fails.
        ActivityError: If the activity was canceled, or failed for another reason.
    """
    try:
        step = await _run(KEEP, [_links_of(image), name], KEEP_RETRIES, schedule_to_close=LINK_LIFETIME)
        return read_stored(step)
    except IdeogramError as error:
        raise ending_workflow(error) from error


async def _run(
    activity: str,
    arguments: Sequence[object],
    retries: RetryPolicy,
    *,
    start_to_close: timedelta | None = None,
    schedule_to_close: timedelta | None = None,
    key: str | None = None,
) -> Step:
    """Run an activity, and return its result, or the answer that its last heartbeat recorded.

    If that recorded an acceptance, another activity waits for the answer, which costs nothing.

    Args:
        activity: Its name.
        arguments: Its arguments.
        retries: Its retry policy.
        start_to_close: Timeout of one attempt.
        schedule_to_close: Timeout of all attempts.
        key: The key of the call, if it is one.

    Raises:
        IdeogramError: The error of the activity.
        ActivityError: If the activity was canceled, or failed for another reason.
    """
    try:
        step: Step = await workflow.execute_activity(
            activity,
            args=arguments,
            result_type=dict,
            start_to_close_timeout=start_to_close,
            schedule_to_close_timeout=schedule_to_close,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=retries,
        )
        return step
    except ActivityError as error:
        details = error.cause.last_heartbeat_details if isinstance(error.cause, ActivityTimeoutError) else ()
        entry = read_entry(details)
        if entry is not None and entry.state is CallState.ANSWERED:
            return step_of(entry.reply())

        if entry is None or entry.state is not CallState.ACCEPTED or schedule_to_close is not None:
            raise _error_of(error, key) from error

    return await _run(
        activity,
        [*arguments, json.dumps([*details])],
        WAIT_RETRIES,
        start_to_close=start_to_close,
        schedule_to_close=LINK_LIFETIME,
        key=key,
    )


def _error_of(error: ActivityError, key: str | None) -> Exception:
    """Return the error of a call or download that a failed activity contains, or the failure itself.

    Args:
        error: The failure.
        key: The key of the call, if it is one.
    """
    cause: BaseException | None = error.cause
    while cause is not None:
        result = from_details(cause.details) if isinstance(cause, ApplicationError) else None
        if result is not None:
            return result

        cause = cause.__cause__

    if key is None or not isinstance(error.cause, ActivityTimeoutError):
        return error

    return AmbiguousError(f"key {key!r}: each attempt was lost with its worker, or timed out", phase=Phase.SENT)


def _links_of(image: str | HasUrl | ImageAnswer) -> dict[str, str]:
    """Return links by the suffixes of their names, as `Ideogram.keep` names the images of an answer."""
    if isinstance(image, ImageAnswer):
        return {f"-{number}": each.url for number, each in enumerate(image.images) if each.url}

    url = image if isinstance(image, str) else image.url
    if url is None:
        raise WithheldImageError("the image has no link: the service withheld it")

    return {"": url}
