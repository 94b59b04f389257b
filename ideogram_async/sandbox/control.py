"""Control of a sandbox over HTTP, for tests in other languages."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import asdict

from ideogram_async.sandbox.faults import make_fault
from ideogram_async.sandbox.parsing import parse_json
from ideogram_async.sandbox.records import JsonObject, RecordedRequest, RefusalError, Reply
from ideogram_async.sandbox.server import Handler, read_body

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

    from ideogram_async.sandbox.sandbox import Sandbox

PREFIX = "/sandbox/"
# A command receives the sandbox, and the members of the JSON body as keyword arguments.
Command: TypeAlias = "Callable[..., Awaitable[JsonObject | None]]"


class ControlledOrigin:
    """Handler that runs commands below `/sandbox/` and passes every other request to an origin.

    Commands need no key, are not recorded, and no fault affects them.
    """

    def __init__(self, sandbox: Sandbox, origin: Handler) -> None:
        self._sandbox = sandbox
        self._origin = origin

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        from aiohttp.web import Response

        if not request.path.startswith(PREFIX):
            return await self._origin(request)

        try:
            reply = await self._run(request)
        except RefusalError as error:
            reply = error.reply

        return Response(status=reply.status, body=reply.body, headers=reply.headers)

    async def _run(self, request: BaseRequest) -> Reply:
        command = COMMANDS.get((request.method, request.path.removeprefix(PREFIX)))
        if command is None:
            commands = ", ".join(f"{method} {PREFIX}{name}" for method, name in COMMANDS)
            raise RefusalError(404, f"unknown command {request.method} {request.path}; expected one of {commands}")

        body = await read_body(request)
        arguments = {} if body == b"" else parse_json(body or b"")
        if not isinstance(arguments, dict):
            raise RefusalError(400, "the body must be a JSON object")

        try:
            inspect.signature(command).bind(self._sandbox, **arguments)
            return Reply.of_json(await command(self._sandbox, **arguments) or {})
        except (TypeError, ValueError) as error:
            raise RefusalError(400, f"{request.path}: {error}") from None


async def _ledger(sandbox: Sandbox) -> JsonObject:
    ledger = sandbox.ledger
    return {
        "billed_images": ledger.billed_images,
        "billed_usd": str(ledger.billed_usd),
        "duplicates": ledger.duplicates,
        "entries": [
            {**asdict(entry), "usd": None if entry.usd is None else str(entry.usd)} for entry in ledger.entries
        ],
        "peak_in_flight": sandbox.peak_in_flight,
    }


async def _generations(sandbox: Sandbox) -> JsonObject:
    return {
        "generations": [
            {**generation.to_json(), "operation": generation.operation, "polls": generation.polls}
            for generation in sandbox.generations
        ],
        "deliveries": [
            {"generation_id": delivery.generation_id, "url": delivery.url, "status": delivery.status}
            for delivery in sandbox.deliveries
        ],
    }


async def _requests(sandbox: Sandbox) -> JsonObject:
    return {
        "requests": [_to_json(request) for request in sandbox.requests],
        "image_requests": [request.path for request in sandbox.image_requests],
        # The keys themselves stay in the process.
        "leaked_keys": [path for path, _ in sandbox.leaked_keys],
    }


def _to_json(request: RecordedRequest) -> JsonObject:
    return {
        "operation": request.operation,
        "path": request.path,
        "query": request.query,
        "headers": [(name, "***" if name.lower() == "api-key" else text) for name, text in request.headers.items()],
        "json": request.json,
        "parts": [
            {
                "name": part.name,
                "filename": part.filename,
                "content_type": part.content_type,
                "bytes": len(part.body),
                "text": part.text if part.filename is None else None,
            }
            for part in request.parts
        ],
        "status": request.status,
    }


async def _add_fault(
    sandbox: Sandbox, *, fault: str, operation: str | None = None, times: int = 1, after: int = 0, **arguments: Any
) -> None:
    sandbox.fail(operation, fault=make_fault(fault, arguments), times=times, after=after)


async def _hold(sandbox: Sandbox) -> None:
    sandbox.hold()


async def _release(sandbox: Sandbox) -> None:
    sandbox.release()


async def _advance(sandbox: Sandbox, *, seconds: float) -> None:
    sandbox.advance(seconds)


async def _reset(sandbox: Sandbox) -> None:
    sandbox.reset()


async def _wait(sandbox: Sandbox, *, requests: int | None = None) -> None:
    if requests is None:
        await sandbox.wait_idle()
    else:
        await sandbox.wait_for_requests(requests)


COMMANDS: dict[tuple[str, str], Command] = {
    ("GET", "ledger"): _ledger,
    ("GET", "requests"): _requests,
    ("GET", "generations"): _generations,
    ("POST", "faults"): _add_fault,
    ("POST", "hold"): _hold,
    ("POST", "release"): _release,
    ("POST", "advance"): _advance,
    ("POST", "wait"): _wait,
    ("POST", "reset"): _reset,
}
