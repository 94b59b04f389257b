"""Workflows that buy images."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from ideogram_async import Generate, IdeogramError, ImageFile, InDoubtError, Remix, v2
    from ideogram_async.integrations.temporal import keep, paid


@workflow.defn
class Hero:
    """Buys an image under the id of the workflow, and stores it. The service accepts the calls of some first."""

    @workflow.run
    async def run(self, prompt: str) -> list[str]:
        key = workflow.info().workflow_id
        is_accepted = key.startswith("accepted")
        answer = await paid(v2.Generate46(prompt) if is_accepted else Generate(prompt, seed=1), key=key)
        return [stored.uri for stored in await keep(answer, name=key)]


@workflow.defn
class Careful:
    """Returns the error of a call."""

    @workflow.run
    async def run(self, prompt: str) -> list[str]:
        try:
            await paid(Generate(prompt), key=workflow.info().workflow_id)
        except InDoubtError as error:
            return ["in doubt", error.key, str(error.usd)]
        except IdeogramError as error:
            return [type(error).__name__, str(error.billed), str(error)]

        return []


@workflow.defn
class LocalFile:
    """Sends a file of its own process."""

    @workflow.run
    async def run(self, path: str) -> None:
        await paid(Remix(ImageFile(path), "a fox"), key="local")


@workflow.defn
class Twice:
    """Buys an image, and repeats that a day later."""

    @workflow.run
    async def run(self) -> list[str]:
        answers = []
        for _ in range(2):
            answers.append(await paid(Generate("a fox"), key=workflow.info().workflow_id))
            await workflow.sleep(timedelta(days=1))

        return [answer.data[0].url or "" for answer in answers]
