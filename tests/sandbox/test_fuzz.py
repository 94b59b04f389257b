"""Hostile requests are answered with 2xx or 4xx, and only what was accepted is billed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from support.pictures import picture

from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox.contract import Route, routes

COUNT = int(os.environ.get("IDEOGRAM_ASYNC_FUZZ", "25"))
"""Requests to each operation."""
MAX_UNREAD = 10_000
FILES = [
    picture(size=(64, 48)),
    b"",
    b"no image",
    picture(size=(64, 48))[:60],
    b"\xff\xd8\xff",
    b"PK\x03\x04",
    bytes(99),
]
NAMES = [*["a.png"] * 5, "a.zip", "a.ZIP", "a.txt", "", "\udcff.txt", "../a/..", "\0", "unsafe-image.png"]
TEXTS = [
    *("a fox", "", " ", "1", "-1", "2147483648", "9" * 5000, "1e999", "NaN", "1_0", "true", "null", "x" * 9000),
    *("\0", "\u202e\U0001f98a\u0301", "\x1b[2J", "[" * 3000, '{"a": ' * 3000, "\udc80", "V_2", "1024x1024", "%s{}"),
]
HEADERS = [
    *(b"Expect: 100-continue", b"Expect: x", b"X-\xff: \xfe", b"Transfer-Encoding: gzip", b"Content-Length: -1"),
    *(b"Content-Encoding: gzip", b"Upgrade: websocket\r\nConnection: Upgrade", b"Cookie: \x01", b": x", b"A" * 9000),
    *(b"Api-Key: again", b"Content-Type: text/\xe9", b"Host: [", b"X: " + b"a" * 9000, b"Transfer-Encoding: chunked"),
]
PATHS = [
    *(b"/", b"*", b"/%", b"/%ff%fe", b"/%00", b"/\xff", b"/generate/", b"/%67enerate", b"/generate;x", b"/../generate"),
    *(b"/datasets/%2e%2e%2fx", b"/datasets/%ed%a0%80", b"/models/" + b"a" * 7000, b"/models?status=%ff&status=\xfe"),
    *(b"/api/images/ephemeral/x.png?exp=\xff", b"/models?" + b"&".join([b"status=DRAFT"] * 700)),
    *(b"/api/images/ephemeral/x.png?exp=1&sig=%C3%A9", b"/api/images/ephemeral/x.png?exp=%ff&sig=%ed%a0%80"),
    *(b"/sandbox/ledger", b"/datasets/\xed\xa0\x80", b"/models/\xc3\xa9", b"?"),
]
if tuple(map(int, version("aiohttp").split(".")[:3])) > (3, 14, 3):
    # Older servers leave a target that is no URL without a response.
    PATHS += [b"//[", b"/models?scope=[", b"http://[", b"http://x:99999/models"]

METHODS = [b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"BREW", b"get", b"\x16\x03\x01", b"P\xffST"]


class Fuzzer:
    """Seeded generator of requests, most of them close to valid ones."""

    def __init__(self, seed: str, dataset_id: str = "") -> None:
        self._random = random.Random(seed)
        self._ids = [dataset_id, "x", "%ff", "%2F", "a%00b", "x" * 400]

    def request(self, route: Route) -> tuple[bytes, bool]:
        """Return a request to an operation, and whether its body is complete."""
        body_type, body = self._body(route)
        path = re.sub(r"\{\w+\}", lambda _: self._random.choice(self._ids), route.path)
        head = [f"{route.method} {path} HTTP/1.1".encode(), b"Host: x", b"Connection: close"]
        head += [] if self._is_rare() else [b"Api-Key: key"]
        head += [] if self._is_rare() else [b"Content-Type: " + body_type]
        # A connection that is closed before a large body was read is reset, and the reply may be lost.
        head += [self._random.choice(HEADERS)] if len(body) < MAX_UNREAD and self._is_rare() else []
        if self._is_rare():
            end = self._random.choice([b"0\r\n\r\n", b"", b"zz\r\n", b"7\r\n", b"0\r\n: x\r\n\r\n", b"-1\r\n\r\n"])
            chunks = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            return b"\r\n".join([*head, b"Transfer-Encoding: chunked", b"", chunks + end]), end == b"0\r\n\r\n"

        missing = 7 if self._is_rare() else 0
        return b"\r\n".join([*head, b"Content-Length: %d" % (len(body) + missing), b"", body]), not missing

    def strange_request(self) -> bytes:
        """Return a request to a path or with a method that no operation has."""
        method, path = self._random.choice(METHODS), self._random.choice(PATHS)
        version = self._random.choice([b"HTTP/1.1"] * 5 + [b"HTTP/1.0", b"HTTP/9.9", b""])
        return b"%s %s %s\r\nHost: x\r\nConnection: close\r\nApi-Key: key\r\n\r\n" % (method, path, version)

    def _is_rare(self) -> bool:
        return self._random.random() < 0.08

    def _body(self, route: Route) -> tuple[bytes, bytes]:
        if not route.body_types:
            return b"text/plain", b""

        body_type = self._random.choice(route.body_types)
        if self._is_rare():
            return body_type.encode(), bytes(
                self._random.choices(b'{}[]"\\,:0-\xff\r\n', k=self._random.randrange(300))
            )
        if self._is_rare():
            return body_type.encode(), self._random.choice(
                [b"", b"null", b"[" * 100_000, b"NaN", b'"\\ud800"', b"\xff\xfe{"]
            )
        if body_type == "application/json":
            return b"application/json", json.dumps(self._value(route.body)).encode()

        return b"multipart/form-data; boundary=x", self._form(route)

    def _value(self, schema: Any) -> Any:
        """Return a value of a JSON body, which usually fits its schema."""
        choose = self._random.choice
        if self._is_rare():
            return choose([None, True, 0, -1, 10**4000, 1.5, float("nan"), [], {}, [[]] * 9, {"": {}}, *TEXTS])
        if options := schema.get("oneOf") or schema.get("anyOf"):
            return self._value(choose(options))
        if "enum" in schema:
            return choose(schema["enum"])

        kinds = schema["type"]
        match kinds if isinstance(kinds, str) else kinds[0]:
            case "object":
                return self._members(schema, self._value)
            case "array":
                return [self._value(schema["items"]) for _ in range(self._random.randrange(3))]
            case "boolean":
                return choose([True, False])
            case "string":
                return choose(["a fox", "00ff00ff", "#ff0000", "My model", "https://example.com/hook", *TEXTS])

        return choose([1, 2, 8, 9, 50, 0.5])

    def _members(self, schema: Any, make: Callable[[Any], Any]) -> dict[str, Any]:
        required = schema.get("required", ())
        names = [name for name in schema["properties"] if name in required or self._random.random() < 0.15]
        members = {name: make(schema["properties"][name]) for name in names if not self._is_rare()}
        return members | ({self._random.choice(TEXTS): 1} if self._is_rare() else {})

    def _form(self, route: Route) -> bytes:
        parts = self._members(route.body, lambda schema: schema)
        json_parts = next(iter(route.bodies.values())).json_parts
        chunks = [
            self._part(name, schema, is_json=name in json_parts)
            for name, schema in parts.items()
            for _ in range(self._times())
        ]
        self._random.shuffle(chunks)
        end = b"" if self._is_rare() else b"--x--\r\n"
        return b"".join(chunks) + end

    def _times(self) -> int:
        return self._random.choice([0, 2, 300]) if self._is_rare() else 1

    def _part(self, name: str, schema: Any, *, is_json: bool) -> bytes:
        is_repeated = isinstance(schema, dict) and schema.get("type") == "array" and not is_json
        item = schema["items"] if is_repeated else schema
        is_file = isinstance(item, dict) and item.get("format") == "binary"
        value = self._random.choice(FILES * 2 + FILES[:1] * 14) if is_file else self._text(item)
        filename = is_file != self._is_rare()
        disposition = f'form-data; name="{name}"' + (f'; filename="{self._random.choice(NAMES)}"' if filename else "")
        if self._is_rare():
            disposition = self._random.choice(["", "form-data", "x; name*=punycode''%ff", 'form-data; name="', "a\0b"])

        head = f"Content-Disposition: {disposition}".encode("utf-8", "surrogatepass")
        head += b"\r\nContent-Type: application/json" if is_json else b""
        return b"--x\r\n" + head + b"\r\n\r\n" + value + b"\r\n"

    def _text(self, schema: Any) -> bytes:
        value = self._value(schema) if isinstance(schema, dict) else schema
        text = value if isinstance(value, str) else json.dumps(value)
        return text.encode("utf-8", "surrogatepass")


async def exchange(url: str, request: bytes, *, ends: bool = False) -> bytes:
    """Send bytes, end the sending side if wanted, and return everything that is received."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        writer.write(request)
        if ends:
            writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    """Return the final status of an answer, or 0 if there is none."""
    statuses = re.findall(rb"^HTTP/1\.[01] (\d{3})", answer, re.MULTILINE)
    return int(statuses[-1]) if statuses else 0


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that returns the errors in the log."""
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() + caplog.handler.format(record) for record in caplog.records]


@pytest.mark.parametrize("route", routes(), ids=lambda route: route.operation)
async def test_operations(route: Route, sandbox: Sandbox, api: Any, errors: Callable[[], list[str]]) -> None:
    """Whatever an operation receives, the reply is 200 or 4xx, and every charged 200 is billed once."""
    dataset = await api.post("/datasets", {"name": "Foxes"})
    fuzzer = Fuzzer(route.operation, dataset.json["dataset_id"])
    accepted = 0
    for _ in range(COUNT):
        request, is_complete = fuzzer.request(route)
        answer = await exchange(sandbox.url, request, ends=not is_complete)
        status = status_of(answer)

        assert status == 200 or 400 <= status < 500 or not (is_complete or answer), (request, answer)
        accepted += status == 200
        for link in re.findall(rb'"(http://127[^"]+)"', answer)[:1]:
            image = await exchange(
                sandbox.image_url, b"GET " + link + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            assert 200 == status_of(image), request

    await sandbox.wait_idle()
    is_charged = route.method == "POST" and not route.path.startswith("/datasets")

    assert [] == errors()
    assert (accepted if is_charged else 0) == len(sandbox.ledger.entries)


@pytest.mark.parametrize("control", [False, True])
async def test_paths_and_methods(control: bool, errors: Callable[[], list[str]]) -> None:
    """Neither origin answers a strange request with 5xx, and none is billed."""
    fuzzer = Fuzzer("paths")
    async with Sandbox(control=control) as sandbox:
        for _ in range(COUNT * 4):
            request = fuzzer.strange_request()
            for url in (sandbox.url, sandbox.image_url):
                status = status_of(await exchange(url, request))

                assert status in (0, 200) or 400 <= status < 500, request

        assert () == sandbox.ledger.entries

    assert [] == errors()


BODY = b'{"image_request": {"prompt": "a fox"}}'
HEAD = b"POST /generate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nApi-Key: key\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    ],
    ids=["length", "chunked"],
)
async def test_a_truncated_request_is_not_billed(
    sandbox: Sandbox, errors: Callable[[], list[str]], request_bytes: bytes
) -> None:
    """A request whose connection ends before its last byte is neither recorded nor billed, wherever it is cut."""
    for length in range(len(request_bytes)):
        await exchange(sandbox.url, request_bytes[:length], ends=True)

    assert [] == sandbox.requests
    assert () == sandbox.ledger.entries
    assert [] == errors()

    await exchange(sandbox.url, request_bytes)

    assert 1 == len(sandbox.ledger.entries)
