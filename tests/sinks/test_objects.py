"""Object stores as sinks, on the servers of moto and Azurite."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import obstore
import pytest
from aiohttp import web
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, MemoryStore, S3Store
from support.clients import CANARY, connected
from support.objectstores import HTTP, contents
from support.pictures import picture

from ideogram_async import DownloadError, FileConflictError, Ideogram
from ideogram_async._sinks.sink import is_adopted
from ideogram_async.integrations.objects import HASH, PROBE, Memory, ObjectSink
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sinks import Facts, Sink, Stored

IMAGE = picture("PNG")
DIGEST = sha256(IMAGE).hexdigest()
FACTS = Facts(content_type="image/png", length=len(IMAGE))
FAULTS = {
    "cut": Fault.cut,
    "cut without a length": Fault.cut_without_length,
    "not an image": Fault.not_an_image,
    "expired": Fault.expired,
    "endless": Fault.endless,
    "reset": Fault.reset_after_headers,
    "status": Fault.status(503),
    "no answer": Fault.close_after_body,
}


async def chunks(*parts: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part

    if error is not None:
        raise error


@pytest.fixture
def sink(store: Any) -> ObjectSink:
    return ObjectSink(store, "run-7/")


async def test_an_image_is_stored_and_found(store: Any, sink: ObjectSink) -> None:
    """The object has the image's type and hash; `head`, `open` and the presigned link return it again."""
    stored = await sink.put("a fox/ü.png", chunks(IMAGE[:9], IMAGE[9:]), FACTS)

    assert isinstance(sink, Sink)
    assert {"run-7/a fox/ü.png": IMAGE} == contents(store)
    assert stored == Stored(
        name="a fox/ü.png",
        uri=f"{sink.uri}/a fox/ü.png",
        sha256=DIGEST,
        size=len(IMAGE),
        etag=stored.etag,
        content_type="image/png",
    )
    assert stored == await sink.head("a fox/ü.png")
    assert IMAGE == b"".join([chunk async for chunk in sink.open("a fox/ü.png")])


async def test_a_presigned_link_needs_no_credentials(sink: ObjectSink) -> None:
    """Anyone can read the image there."""
    await sink.put("fox.png", chunks(IMAGE), FACTS)

    assert IMAGE == await asyncio.to_thread(read, await sink.link("fox.png", 60.0))


def read(link: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(link) as response:
        content: bytes = response.read()
        return content


async def test_what_is_missing(sink: ObjectSink) -> None:
    """`head` returns `None` for a missing object; reading it raises an error."""
    assert None is await sink.head("fox.png")
    with pytest.raises(FileNotFoundError):
        await anext(aiter(sink.open("fox.png")))


@pytest.mark.parametrize("hashed", [True, False])
async def test_the_same_image_is_adopted(store: Any, sink: ObjectSink, hashed: bool) -> None:
    """An object with the same bytes stays as it is, whether its hash is in its metadata or has to be read."""
    store.put("run-7/fox.png", IMAGE, attributes={HASH: DIGEST} if hashed else {})
    before = store.head("run-7/fox.png")
    stored = await sink.put("fox.png", chunks(IMAGE), FACTS)

    assert is_adopted(stored)
    assert (before["e_tag"], DIGEST) == (stored.etag, stored.sha256)
    assert before == store.head("run-7/fox.png")


async def test_another_object_is_never_overwritten(store: Any, sink: ObjectSink) -> None:
    """It stays, and the error names it."""
    store.put("run-7/fox.png", b"mine")
    with pytest.raises(FileConflictError, match=r"/run-7/fox\.png already exists with different content"):
        await sink.put("fox.png", chunks(IMAGE), FACTS)

    assert {"run-7/fox.png": b"mine"} == contents(store)


async def test_two_writers_store_one_object(store: Any) -> None:
    """Of two images with one name, one is stored and the other conflicts; the same image is stored once."""
    sinks = [ObjectSink(store) for _ in range(2)]
    work = [sink.put("fox.png", chunks(image), FACTS) for sink, image in zip(sinks, (IMAGE, IMAGE[::-1]), strict=True)]
    outcomes = await asyncio.gather(*work, return_exceptions=True)

    assert [FileConflictError, Stored] == sorted((type(each) for each in outcomes), key=lambda kind: kind.__name__)
    assert contents(store)["fox.png"] in (IMAGE, IMAGE[::-1])


async def test_an_incomplete_image_is_not_put(store: Any, sink: ObjectSink) -> None:
    """An error of the iteration causes no object."""
    with pytest.raises(DownloadError, match="cut"):
        await sink.put("fox.png", chunks(IMAGE, error=DownloadError("cut")), FACTS)

    assert {} == contents(store)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_no_fault_of_an_image_leaves_an_object(
    store: Any, sink: ObjectSink, sandbox: Sandbox, fault: Fault
) -> None:
    """While the image host fails, nothing is stored; once it recovers, the same call stores the image."""
    async with connected(sandbox.url, max_image_bytes=2**20) as client:
        answer = await client.generate("a fox")
        sandbox.fail("images", fault=fault, times=10)
        failures, kept = 0, ()
        while not kept:
            try:
                kept = await client.keep(answer, sink, name="fox")
            except DownloadError:
                failures += 1

                assert {} == contents(store)

    assert 1 <= failures <= 10
    assert {"run-7/fox-0.png"} == contents(store).keys()
    assert kept[0].sha256 == sha256(contents(store)["run-7/fox-0.png"]).hexdigest()


async def test_no_object_contains_the_key(store: Any, sink: ObjectSink, client: Ideogram) -> None:
    """Neither a name, nor a content, nor metadata."""
    await client.keep(await client.generate("a fox"), sink, name="fox")
    objects = [obstore.get(store, name) for name in contents(store)]

    assert 1 == len(objects)
    assert CANARY not in repr([(each.meta, each.attributes, bytes(each.bytes())) for each in objects])


class CountingStore:
    """A server that accepts every PUT, as some stores ignore the condition."""

    def __init__(self) -> None:
        self.puts: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.puts.append(request.path)
        await request.read()
        return web.Response(headers={"ETag": '"1"'})


async def test_a_store_that_overwrites_is_refused() -> None:
    """It takes the probe twice, so no image is put."""
    server, application = CountingStore(), web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        store = S3Store("images", endpoint=url, access_key_id="a", secret_access_key="b", region="x", **HTTP)
        with pytest.raises(OSError, match="the store overwrites objects"):
            await ObjectSink(store, "run-7").put("fox.png", chunks(IMAGE), FACTS)
    finally:
        await runner.cleanup()

    assert [f"/images/run-7/{PROBE}"] * 2 == server.puts


async def test_the_probe_is_put_by_the_first_sink_only(bucket: Any) -> None:
    """A later sink finds it, and needs no second one."""
    for name in ("fox.png", "owl.png"):
        await ObjectSink(bucket, "run-7").put(name, chunks(IMAGE), FACTS)

    names = sorted(entry["path"] for entry in bucket.list().collect())

    assert [f"run-7/{PROBE}", "run-7/fox.png", "run-7/owl.png"] == names


async def test_a_store_that_fails_is_an_os_error(bucket: Any) -> None:
    """Its message has the reason, and neither details of the library nor the query of a URL."""
    store = S3Store("missing", endpoint=bucket.config["endpoint"], access_key_id="a", secret_access_key="b", **HTTP)
    with pytest.raises(FileNotFoundError, match="bucket does not exist") as caught:
        await ObjectSink(store, "run-7").put("fox.png", chunks(IMAGE), FACTS)

    assert f"s3://missing/run-7/{PROBE}" == caught.value.filename
    assert "Debug source" not in str(caught.value)


async def test_a_store_that_is_not_there_is_an_os_error() -> None:
    """Its message names the request."""
    url = "http://127.0.0.1:9"
    store = S3Store("images", endpoint=url, access_key_id="a", secret_access_key="b", region="x", **HTTP)
    with pytest.raises(OSError, match=f"Error performing PUT {url}/images/{PROBE}"):
        await ObjectSink(store).put("fox.png", chunks(IMAGE), FACTS)


@pytest.mark.parametrize(
    ("prefix", "uri"), [("", "memory://"), ("run-7", "memory:///run-7"), ("/a/run-7/", "memory:///a/run-7")]
)
def test_the_uri_of_a_sink(prefix: str, uri: str) -> None:
    """A prefix is a folder, with or without a slash at its end."""
    sink = ObjectSink(MemoryStore(), prefix)

    assert uri == sink.uri
    assert f"ObjectSink({uri!r})" == repr(sink)


@pytest.mark.parametrize(
    ("store", "uri"),
    [
        (S3Store("images", prefix="a/b", region="x"), "s3://images/a/b/run-7"),
        (AzureStore("images", account_name="fox", prefix="a"), "az://images/a/run-7"),
        (GCSStore("images"), "gs://images/run-7"),
    ],
)
def test_the_uri_has_the_prefix_of_the_store(store: Any, uri: str) -> None:
    """A store may have a prefix of its own."""
    assert uri == ObjectSink(store, "run-7/").uri


@pytest.mark.parametrize("store", [LocalStore(), HTTPStore("http://127.0.0.1:1"), "s3://images"])
def test_other_stores_are_refused(store: Any) -> None:
    """The error says what a store may be."""
    with pytest.raises(TypeError, match="store must be an S3Store, AzureStore, GCSStore or MemoryStore, not"):
        ObjectSink(store)


def test_settings_that_are_refused() -> None:
    """A prefix that leads elsewhere, and no memory."""
    with pytest.raises(ValueError, match="name must be"):
        ObjectSink(MemoryStore(), "a/../b")

    with pytest.raises(ValueError, match="max_memory must be at least 1, not 0"):
        ObjectSink(MemoryStore(), max_memory=0)


@pytest.mark.parametrize("lifetime", [0.0, -1.0, 604_801.0, float("nan")])
async def test_lifetimes_that_are_refused(bucket: Any, lifetime: float) -> None:
    """A link is valid for up to seven days."""
    with pytest.raises(ValueError, match="lifetime must be above 0 and at most 604,800 seconds"):
        await ObjectSink(bucket).link("fox.png", lifetime)


async def test_a_store_in_memory_has_no_links() -> None:
    """The error is one of the sink."""
    with pytest.raises(OSError, match="no links"):
        await ObjectSink(MemoryStore()).link("fox.png", 60.0)


@pytest.mark.parametrize("length", [len(IMAGE), None])
async def test_an_image_beyond_the_memory_is_not_put(length: int | None) -> None:
    """Whether its length is declared or not."""
    store = MemoryStore()
    with pytest.raises(OSError, match="raise max_memory"):
        await ObjectSink(store, max_memory=len(IMAGE) - 1).put(
            "fox.png", chunks(IMAGE), Facts(content_type="image/png", length=length)
        )

    assert {} == contents(store)


async def test_images_wait_for_memory() -> None:
    """An image is read once its length is free, and all are stored."""
    store = MemoryStore()
    sink = ObjectSink(store, max_memory=2 * len(IMAGE))
    reading, most = 0, 0

    async def image() -> AsyncIterator[bytes]:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        for position in range(0, len(IMAGE), 50):
            await asyncio.sleep(0)
            yield IMAGE[position : position + 50]

        reading -= 1

    await asyncio.gather(*(sink.put(f"{number}.png", image(), FACTS) for number in range(9)))

    assert 9 == len(contents(store))
    assert 2 == most


async def test_memory_is_granted_in_order() -> None:
    """A large image is not passed by small ones, and a cancellation gives back what it had."""
    memory, order = Memory(10), list[str]()

    async def take(name: str, size: int) -> None:
        await memory.acquire(size)
        order.append(name)

    await take("first", 6)
    large = asyncio.create_task(take("large", 8))
    small = asyncio.create_task(take("small", 4))
    cancelled = asyncio.create_task(take("cancelled", 10))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)

    assert ["first"] == order

    memory.release(6)
    await large
    memory.release(8)
    await small
    memory.release(4)
    granted = asyncio.create_task(take("granted", 10))
    await asyncio.sleep(0)
    granted.cancel()
    await asyncio.wait([granted, cancelled])
    memory.release(10 if order[-1] == "granted" else 0)
    await take("last", 10)

    assert ["first", "large", "small"] == order[:3]


async def test_a_cancelled_put_returns_its_memory(bucket: Any) -> None:
    """Cancelled while it waits for the image, it leaves no object and no reservation."""
    sink = ObjectSink(bucket, max_memory=len(IMAGE))
    reached = asyncio.Event()

    async def never() -> AsyncIterator[bytes]:
        yield IMAGE[:9]
        reached.set()
        await asyncio.Future()

    putting = asyncio.create_task(sink.put("fox.png", never(), FACTS))
    await reached.wait()
    putting.cancel()
    await asyncio.wait([putting])
    await sink.put("owl.png", chunks(IMAGE), FACTS)

    assert {"owl.png": IMAGE} == contents(bucket)
