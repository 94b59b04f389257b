"""Sink of an object store: S3 and what is compatible, Azure, Google Cloud Storage. Needs the extra `objects`.

image ─▶ collect and verify in memory ─▶ one PUT, create-only, with the hash as metadata
"""

# Evaluated annotations: `typing.get_type_hints` works on the class.

import asyncio
import errno
import hashlib
import os
import re
from collections import deque
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeAlias

from attrs import evolve

from ideogram_async._download.incoming import reject
from ideogram_async._requirements import needs_extra
from ideogram_async._sinks.sink import Facts, Stored, check_name
from ideogram_async.errors import DownloadError, FileConflictError

with needs_extra(__name__, "objects"):
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError
    from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

__all__ = ["ObjectSink"]

HASH = "ideogramsha256"
"""Metadata of an object. Azure refuses names with `-`, and some servers drop those with `_`."""

PROBE = ".ideogram-probe"
MAX_LIFETIME = 604_800
"""Longest lifetime of a link in seconds; S3 accepts no longer one."""

Store: TypeAlias = S3Store | AzureStore | GCSStore | MemoryStore


class ObjectSink:
    """An object store. Each image is one PUT that never overwrites, once it is complete and verified.

    At its first use it puts the object `.ideogram-probe` twice, and refuses a store that takes the second one.

    Args:
        store: `S3Store`, `AzureStore`, `GCSStore` or `MemoryStore` of obstore. Its own settings apply: credentials,
            timeouts and retries.
        prefix: The start of each name, such as `campaign/`.
        max_memory: Bytes of the images in memory. An image waits until there is room for its length, or for the
            client's `max_image_bytes` if the image host does not declare the length.

    Raises:
        TypeError: If the store is another object.
        ValueError: If the prefix or `max_memory` is invalid.
    """

    def __init__(self, store: Store, prefix: str = "", *, max_memory: int = 256 * 2**20) -> None:
        if max_memory < 1:
            raise ValueError(f"max_memory must be at least 1, not {max_memory}")

        self._store = store
        folder = prefix.strip("/")
        self._prefix = f"{check_name(folder)}/" if folder else ""
        self._uri = f"{_uri_of(store)}/{folder}" if folder else _uri_of(store)
        self._memory = Memory(max_memory)
        self._is_checked = False

    def __repr__(self) -> str:
        return f"ObjectSink({self.uri!r})"

    @property
    def uri(self) -> str:
        """The location of the images, such as `s3://bucket/campaign`."""
        return self._uri

    async def put(self, name: str, image: AsyncIterator[bytes], facts: Facts, /) -> Stored:
        """Store an image; see `Sink.put`. After a cancellation the object is complete or does not exist."""
        check_name(name)
        await self._check_store()
        maximum = self._memory.maximum
        reserved = min(facts.max_bytes, maximum) if facts.length is None else facts.length
        if reserved > maximum:
            raise _too_large(self._uri_of(name), maximum)

        await self._memory.acquire(reserved)
        chunks: list[bytes] = []
        try:
            digest, size = await self._receive(name, image, chunks, reserved)
            uri = self._uri_of(name)
            stored = Stored(name=name, uri=uri, sha256=digest, size=size, content_type=facts.content_type)
            return await self._create(chunks, stored)
        except DownloadError:
            reject(image, chunks)
            raise
        finally:
            self._memory.release(reserved)

    async def head(self, name: str, /) -> Stored | None:
        """Return the image with that name, or `None`. An object without a hash is read; see `Sink.head`."""
        await self._check_store()
        uri = self._uri_of(name)
        try:
            with _os_errors(uri):
                response = await obstore.get_async(self._store, self._path_of(name), options={"head": True})
        except FileNotFoundError:
            return None

        digest = response.attributes.get(HASH)
        return Stored(
            name=name,
            uri=uri,
            sha256=await self._hash(name) if digest is None else digest,
            size=response.meta["size"],
            etag=response.meta["e_tag"],
            content_type=response.attributes.get("Content-Type", "application/octet-stream"),
        )

    async def open(self, name: str, /) -> AsyncIterator[bytes]:
        """Yield the bytes of an image; see `Sink.open`."""
        with _os_errors(self._uri_of(name)):
            response = await obstore.get_async(self._store, self._path_of(name))
            async for chunk in response.stream():
                yield bytes(chunk)

    async def link(self, name: str, lifetime: float, /) -> str:
        """Return a presigned URL. It expires earlier if the store's credentials do; see `Sink.link`."""
        if not 0 < lifetime <= MAX_LIFETIME:
            raise ValueError(f"lifetime must be above 0 and at most {MAX_LIFETIME:,} seconds, not {lifetime}")

        if isinstance(self._store, MemoryStore):
            raise OSError(errno.ENOTSUP, "a store in memory has no links", self._uri_of(name))

        with _os_errors(self._uri_of(name)):
            return await obstore.sign_async(self._store, "GET", self._path_of(name), timedelta(seconds=lifetime))

    async def _receive(
        self, name: str, image: AsyncIterator[bytes], chunks: list[bytes], maximum: int
    ) -> tuple[str, int]:
        """Append the bytes of an image to a list, and return their hash and number.

        Raises:
            OSError: If there are too many.
        """
        digest, size = hashlib.sha256(), 0
        async for chunk in image:
            chunks.append(chunk)
            digest.update(chunk)
            size += len(chunk)
            if size > maximum:
                raise _too_large(self._uri_of(name), maximum)

        return digest.hexdigest(), size

    async def _create(self, chunks: list[bytes], stored: Stored) -> Stored:
        attributes = {"Content-Type": stored.content_type, HASH: stored.sha256}
        try:
            with _os_errors(stored.uri):
                path = self._path_of(stored.name)
                created = await obstore.put_async(self._store, path, chunks, mode="create", attributes=attributes)
        except FileExistsError:
            return await self._adopt(stored)

        return evolve(stored, etag=created["e_tag"])

    async def _adopt(self, stored: Stored) -> Stored:
        """Return the existing object if it has the same content, as after a crash."""
        existing = await self.head(stored.name)
        if existing is None or (existing.sha256, existing.size) != (stored.sha256, stored.size):
            raise FileConflictError(f"{stored.uri} already exists with different content; it was not overwritten")

        return evolve(stored, etag=existing.etag, _adopted=True)

    async def _hash(self, name: str) -> str:
        digest = hashlib.sha256()
        async for chunk in self.open(name):
            digest.update(chunk)

        return digest.hexdigest()

    async def _check_store(self) -> None:
        """Check at the first use that the store can be written, and refuses to overwrite.

        Raises:
            OSError: If it does not.
        """
        if self._is_checked:
            return

        for _ in range(2):
            try:
                with _os_errors(self._uri_of(PROBE)):
                    await obstore.put_async(self._store, self._path_of(PROBE), b"probe", mode="create")
            except FileExistsError:
                self._is_checked = True
                return

        message = "the store overwrites objects, although the request forbids it (If-None-Match: *)"
        raise OSError(errno.ENOTSUP, message, self.uri)

    def _path_of(self, name: str) -> str:
        return self._prefix + check_name(name)

    def _uri_of(self, name: str) -> str:
        return f"{self._uri}/{name}"


class Memory:
    """Memory for images, granted in order of the requests.

    Args:
        maximum: Its size in bytes.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._free = maximum
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, size: int) -> None:
        """Wait for a number of bytes, at most `maximum`."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._grant()
            else:
                self.release(size)

            raise

    def release(self, size: int) -> None:
        self._free += size
        self._grant()

    def _grant(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._free):
            size, granted = self._waiting.popleft()
            if not granted.done():
                self._free -= size
                granted.set_result(None)


@contextmanager
def _os_errors(uri: str) -> Generator[None]:
    """Convert the errors of obstore to `OSError`, without the query of a URL, which may be a signature."""
    try:
        yield
    except AlreadyExistsError:
        code, reason = errno.EEXIST, os.strerror(errno.EEXIST)
    except FileNotFoundError as error:
        code, reason = errno.ENOENT, _reason_of(error)
    except (BaseError, NotImplementedError, PermissionError) as error:
        code, reason = errno.EIO, _reason_of(error)
    else:
        return

    raise OSError(code, reason, uri) from None


def _reason_of(error: Exception) -> str:
    text = str(error).partition("\n\nDebug source")[0]
    return re.sub(r"\?\S+", "", " ".join(text.split()))[:500]


def _too_large(uri: str, maximum: int) -> OSError:
    return OSError(errno.EFBIG, f"the image has more than {maximum:,} bytes; raise max_memory of the sink", uri)


def _uri_of(store: object) -> str:
    match store:
        case S3Store():
            root, prefix = f"s3://{store.config.get('bucket', '')}", store.prefix
        case AzureStore():
            root, prefix = f"az://{store.config.get('container_name', '')}", store.prefix
        case GCSStore():
            root, prefix = f"gs://{store.config.get('bucket', '')}", store.prefix
        case MemoryStore():
            root, prefix = "memory://", None
        case _:
            name = type(store).__name__
            advice = "; for a local folder, use FolderSink" if name == "LocalStore" else ""
            raise TypeError(f"store must be an S3Store, AzureStore, GCSStore or MemoryStore, not {name}{advice}")

    return f"{root}/{prefix}" if prefix else root
