"""Keyed calls as steps of a workflow engine. Only plain JSON crosses into its history, so classes may move."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import unquote

from attrs import asdict

from ideogram_async import errors
from ideogram_async._accepted import Accepted
from ideogram_async._client import Ideogram
from ideogram_async._ledger.entries import Ledger
from ideogram_async._ledger.serialization import FileDescription, deserialize, serialize
from ideogram_async._operations import Request
from ideogram_async._sinks.sink import Sink, Stored
from ideogram_async._wire.decode import decode
from ideogram_async._wire.encode import encode
from ideogram_async.errors import Billed, IdeogramError, InvalidRequestError, Phase
from ideogram_async.files import FromJob, HasUrl, ImageFile, Link, as_tuple
from ideogram_async.models.base import Answer, Reply

R = TypeVar("R")
Step: TypeAlias = dict[str, object]
"""The result of a step: `{"status", "raw"}` of an answer, `{"stored"}` of images, or `{"error"}`."""

READERS: dict[str, Callable[..., object]] = {
    "billed": Billed,
    "links": tuple,
    "path": Path,
    "phase": Phase,
    "problems": lambda items: tuple(tuple(item) if isinstance(item, list) else item for item in items),
    "raw": base64.b64decode,
    "started_at": datetime.fromisoformat,
    "ticket": Accepted,
    "usd": Decimal,
}
"""Conversions of the attributes of errors that are not JSON."""


def pack(request: Request[object]) -> str:
    """Return a request as JSON, with its files by their URLs.

    Raises:
        InvalidRequestError: If a file has no URL.
    """
    files = [(name, item) for name, value in vars(request).items() for item in as_tuple(value)]
    problems = [(name, _file_problem(item)) for name, item in files if isinstance(item, ImageFile)]
    faults = [(name, problem) for name, problem in problems if problem is not None]
    if faults:
        raise InvalidRequestError(faults, subject=type(request).__name__)

    return serialize(request, _Links(None))


def unpack(packed: str, sink: Sink | None) -> Request[object]:
    """Return a packed request, with files that are read from their URLs, or as objects of the sink.

    Raises:
        JournalError: If it is damaged.
    """
    return deserialize(packed, _Links(sink))


async def run_once(client: Ideogram, packed: str, key: str, sink: Sink | None, *, ledger: Ledger | None = None) -> Step:
    """Buy a packed request under a key, unless that was done before.

    Args:
        client: The client.
        packed: The request.
        key: The name of the purchase.
        sink: Where the files are that have no web address.
        ledger: The record, in place of the client's.

    Raises:
        IdeogramError: What `Ideogram.once` raises.
    """
    answer = await client.once(key, unpack(packed, sink), ledger=ledger)
    if not isinstance(answer, Answer):
        raise TypeError(f"{type(answer).__name__} has no reply")

    return step_of(answer.meta)


def step_of(reply: Reply) -> Step:
    """Return the result of a step with this reply."""
    return {"status": reply.status, "raw": _text_of(reply)}


def read_answer(request: Request[R], step: Mapping[str, object]) -> R:
    """Return the answer of a step, or raise its error.

    Raises:
        IdeogramError: The error.
    """
    match step:
        case {"status": int(status), "raw": str(raw)}:
            reply = Reply(status=status, raw=raw.encode(), replayed=True)
            answer: R = decode(encode(request), reply, request.endpoint.answer)
            return answer
        case {"error": dict(error)}:
            raise error_from_json(error)
        case _:
            raise ValueError(f"a step returned {step!r}")


def stored_step(images: Iterable[Stored]) -> Step:
    """Return the result of a step that has stored these images."""
    return {"stored": [asdict(image) for image in images]}


def read_stored(step: Mapping[str, object]) -> tuple[Stored, ...]:
    """Return the images of a step, or raise its error.

    Raises:
        IdeogramError: The error.
    """
    match step:
        case {"stored": list(items)}:
            return tuple(Stored(**item) for item in items)
        case {"error": dict(error)}:
            raise error_from_json(error)
        case _:
            raise ValueError(f"a step returned {step!r}")


def error_to_json(error: IdeogramError) -> Step:
    """Return an error as JSON."""
    state = {name: plain(value) for name, value in vars(error).items() if not name.startswith("_")}
    return {"type": type(error).__name__, "message": plain(str(error)), "state": state}


def error_from_json(data: Mapping[str, object]) -> IdeogramError:
    """Return the error in JSON. A class that is not known becomes an `IdeogramError`."""
    name = data.get("type")
    named: object = getattr(errors, name, None) if isinstance(name, str) else None
    error_class = named if isinstance(named, type) and issubclass(named, IdeogramError) else IdeogramError
    message, state = str(data.get("message", name)), data.get("state")
    error = error_class.__new__(error_class, message)
    error.args = (message,)
    for attribute, value in (state if isinstance(state, dict) else {}).items():
        read = READERS.get(attribute)
        vars(error)[attribute] = value if read is None or value is None else read(value)

    return error


class _Links:
    """Files by their URLs."""

    def __init__(self, sink: Sink | None) -> None:
        self._sink = sink

    def describe(self, file: ImageFile) -> FileDescription:
        return {"url": _url_of(file), "name": file.name, "content_type": file.content_type}

    def load(self, description: FileDescription) -> ImageFile:
        link = Link(description["url"])
        source = link if link.is_web else _Object(link.url, self._sink)
        return ImageFile(source, name=description["name"], content_type=description["content_type"])


class _Object:
    """An object of a sink, as a file that can be read once."""

    def __init__(self, uri: str, sink: Sink | None) -> None:
        self.uri = uri
        self._sink = sink
        self._chunks: AsyncIterator[bytes] | None = None

    async def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, regardless of the size.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is in another place.
        """
        if self._chunks is None:
            if self._sink is None or not self.uri.startswith(f"{self._sink.uri}/"):
                where = "there is no sink" if self._sink is None else f"the sink is {self._sink.uri}"
                raise ValueError(f"{self.uri!r} is not a web address, and {where}")

            name = self.uri.removeprefix(f"{self._sink.uri}/")
            self._chunks = aiter(self._sink.open(unquote(name) if self.uri.startswith("file:") else name))

        return await anext(self._chunks, b"")


def _url_of(file: ImageFile) -> str | None:
    match file.source:
        case HasUrl(url=url):
            return url
        case _Object(uri=uri):
            return uri
        case _:
            return None


def _file_problem(file: ImageFile) -> str | None:
    """Return why a file cannot cross to another process."""
    if isinstance(file.source, FromJob):
        return f"is an image of the job {file.source.id!r}; send it in a batch, or in a workflow after that job"

    if _url_of(file):
        return None

    kind = "an image without a link" if isinstance(file.source, HasUrl) else "a file of this process"
    return f"is {kind}, which another process cannot read: store it, and pass ImageFile.from_url(url)"


def _text_of(reply: Reply) -> str:
    try:
        return reply.raw.decode()
    except UnicodeDecodeError:
        return json.dumps(reply.json())


def plain(value: object) -> object:
    """Return an attribute of an error as JSON that every database can store."""
    match value:
        case str():
            # A lone surrogate, which JSON may contain, has no encoding.
            return value.encode(errors="backslashreplace").decode()
        case bool() | int() | float() | None:
            return value
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.isoformat()
        case dict():
            return {str(plain(key)): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return str(value)
