"""Links that are refused, and the ids of links."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from traceback import walk_tb

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from download.conftest import DownloadContext
from hypothesis import given
from hypothesis import strategies as st
from support.origin import Origin, ok, picture

from ideogram_async._download.hosts import Hosts, expiry_of, is_loopback, is_loopback_name, is_public, link_id, scrub
from ideogram_async._download.resolver import PublicResolver
from ideogram_async.errors import DownloadError, HostRefusedError

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.0.9",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.7",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::808:808",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "fc00::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "no address",
]
PUBLIC = ["8.8.8.8", "104.18.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str) -> None:
    """An address that is not routed on the internet is not public, in any notation."""
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    """An address that is routed on the internet is public."""
    assert is_public(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_loopback_addresses(address: str) -> None:
    """Loopback is a range of addresses, in IPv4 and IPv6."""
    assert is_loopback(address)


@pytest.mark.parametrize(
    ("host", "expected"), [("localhost", True), ("a.localhost", True), ("localhost.example", False)]
)
def test_loopback_names(host: str, expected: bool) -> None:
    """Only `localhost` and its subdomains are names of this machine."""
    assert expected == is_loopback_name(host)


REFUSED = [
    "",
    "fox.png",
    "//ideogram.ai/x",
    "https:///x",
    "http://ideogram.ai/x",
    "ftp://ideogram.ai/x",
    "file:///etc/passwd",
    "data:image/png;base64,AAAA",
    "https://ideogram.ai:80/x",
    "https://ideogram.ai:8443/x",
    "https://ideogram.ai:0/x",
    "https://ideogram.ai:99999/x",
    "https://user@ideogram.ai/x",
    "https://user:password@ideogram.ai/x",
    "https://@ideogram.ai/x",
    "https://ideogram.ai@evil.example/x",
    "https://ideogram.ai\\@evil.example/x",
    "https://ideogram.ai./x",
    "https://localhost/x",
    "https://localhost./x",
    "https://a.localhost/x",
    "http://localhost:8000/x",
    "http://127.0.0.1/x",
    "https://127.0.0.1/x",
    "https://127.0.0.1./x",
    "https://127.1/x",
    "https://2130706433/x",
    "https://0x7f000001/x",
    "https://0x7f.1/x",
    "https://0177.0.0.1/x",
    "https://127.0.0.0x1/x",
    "https://127.000.000.001/x",
    "https://134744072/x",
    "https://①②⑦.⓪.⓪.①/x",
    "https://127。0。0。1/x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://[::ffff:169.254.169.254]/x",
    "https://[64:ff9b::a9fe:a9fe]/x",
    "https://[fe80::1%25eth0]/x",
    "https://[2606:4700::1%25eth0]/x",
    "https://[::1/x",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/x",
    "https://ideogram.ai%2eevil.example/x",
    "https://ideo gram.ai/x",
    "https://ideogram.ai/x y",
    "https://ideogram.ai\t/x",
    "https://ideogram.ai/x\r\nApi-Key: y",
    "https://ideogram.ai/\udcff",
    "https://-ideogram.ai/x",
    f"https://{'a' * 64}.example/x",
    f"https://{'a.' * 127}example/x",
]


@pytest.mark.parametrize("url", REFUSED)
def test_refused_links(url: str) -> None:
    """A link that is not plain https to a public host is refused before connecting."""
    with pytest.raises(HostRefusedError):
        Hosts().check(url)


ACCEPTED = [
    "https://ideogram.ai/api/images/ephemeral/x.png?exp=1&sig=a%2Fb%7E+c",
    "https://IDEOGRAM.ai/x",
    "https://d2gu96o5zk2m7w.cloudfront.net/x",
    "https://8.8.8.8/x",
    "https://[2606:4700::1111]/x",
    "https://under_score.example/x",
    "https://xn--bcher-kva.example/x",
]


@pytest.mark.parametrize("url", ACCEPTED)
def test_accepted_links(url: str) -> None:
    """A link is requested unchanged byte for byte, because its signature covers the bytes."""
    assert url == str(Hosts().check(url))


def test_explicit_port() -> None:
    """The link may contain the default port."""
    assert "https://ideogram.ai/x" == str(Hosts().check("https://ideogram.ai:443/x"))


def test_unicode_link() -> None:
    """A link that is not ASCII is encoded."""
    assert "https://xn--bcher-kva.example/%C3%BC" == str(Hosts().check("https://bücher.example/ü"))


ALLOWED = Hosts(("Ideogram.AI", "bücher.example"))


@pytest.mark.parametrize("host", ["ideogram.ai", "IDEOGRAM.AI", "img.ideogram.ai", "a.b.ideogram.ai", "bücher.example"])
def test_allowed_hosts(host: str) -> None:
    """An allowed host includes its subdomains, in any spelling."""
    assert ALLOWED.check(f"https://{host}/x")


@pytest.mark.parametrize(
    "host", ["evil.example", "evilideogram.ai", "ideogram.ai.evil.example", "8.8.8.8", "localhost"]
)
def test_hosts_not_allowed(host: str) -> None:
    """A host that only resembles an allowed one is refused."""
    with pytest.raises(HostRefusedError):
        ALLOWED.check(f"https://{host}/x")


@pytest.mark.parametrize(
    "name", ["", "*.ideogram.ai", ".ideogram.ai", "ideogram.ai.", "https://ideogram.ai", "a.ai:443"]
)
def test_invalid_hosts(name: str) -> None:
    """A name that can match no host raises an error at once; later, it would refuse every image."""
    with pytest.raises(ValueError, match=r"ideogram\.ai|a\.ai|image_hosts"):
        Hosts((name,))


@pytest.mark.parametrize("name", ["93.184.216.34", "127.0.0.1", "localhost", "my_images.example"])
def test_address_hosts(name: str) -> None:
    """Addresses are valid hosts."""
    assert (name,) == Hosts((name,)).allowed


LOCAL = Hosts(("ideogram.ai",), loopback=True)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/x", "http://localhost/x", "https://[::1]:9/x", "https://ideogram.ai/"]
)
def test_loopback(url: str) -> None:
    """With a local service, links may lead to this machine, over http and on any port."""
    assert LOCAL.check(url)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x", "ftp://127.0.0.1/x", "http://u@localhost/x", "http://ideogram.ai/x"]
)
def test_loopback_is_nothing_else(url: str) -> None:
    """A local service allows no other exceptions."""
    with pytest.raises(HostRefusedError):
        LOCAL.check(url)


def test_refusal_is_scrubbed() -> None:
    """A refusal contains the link without its signature."""
    with pytest.raises(HostRefusedError) as caught:
        Hosts().check("http://user:password@ideogram.ai/x.png?exp=1&sig=secret#part")

    assert "http://ideogram.ai/x.png" == caught.value.url
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)


@given(st.text())
def test_any_text(url: str) -> None:
    """Any text is refused or accepted, and has a printable form and a safe file name."""
    with suppress(HostRefusedError):
        Hosts().check(url)

    assert scrub(url).isprintable()
    assert set(link_id(url)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert not link_id(url).startswith(".")
    assert 0 < len(link_id(url)) <= 120


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ideogram.ai/api/images/ephemeral/fox-1_a.png?exp=1&sig=a/b", "fox-1_a"),
        ("https://ideogram.ai/api/images/direct/abc", "abc"),
        ("https://ideogram.ai/v1.2", "v1.2"),
        ("https://ideogram.ai/fox.JPEG#x/y", "fox"),
        ("https://ideogram.ai/" + "a" * 120, "a" * 120),
    ],
)
def test_link_id(url: str, expected: str) -> None:
    """The link id is the last part of the link's path."""
    assert expected == link_id(url)


@pytest.mark.parametrize(
    "last", ["", ".", "..", ".hidden", ".png", "a%2f..%2fb", "a\\b", "a:b", "ü", "a" * 121, "a b", "a\n", "\udcff"]
)
def test_unsafe_link_id(last: str) -> None:
    """The link id is a hash if the last part is not a safe file name."""
    name = link_id(f"https://ideogram.ai/images/{last}?sig=x")

    assert 32 == len(name)
    assert name.isalnum()
    assert name != link_id(f"https://ideogram.ai/{last}")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?exp=1743867804&sig=x", 1743867804.0),
        ("?sig=x&exp=5#y", 5.0),
        ("", None),
        ("?exp=never", None),
        ("?texp=5", None),
        ("?exp=1_0", None),
        ("?exp=+5", None),
        ("?exp=١٢", None),
    ],
)
def test_expiry(query: str, expected: float | None) -> None:
    """The expiry of a link is the time in its `exp`."""
    assert expected == expiry_of(f"https://ideogram.ai/x.png{query}")


class Names(AbstractResolver):
    """A resolver that returns the next answer each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.is_closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        family = socket.AF_INET
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        self.is_closed = True


async def addresses_of(resolver: PublicResolver, host: str) -> list[str]:
    """Return the addresses of a host."""
    return [result["host"] for result in await resolver.resolve(host, 443)]


async def test_resolver_drops_private() -> None:
    """Only public addresses reach the connector."""
    resolver = PublicResolver(loopback=False, inner=Names(["10.0.0.1", "8.8.8.8", "::1"]))

    assert ["8.8.8.8"] == await addresses_of(resolver, "images.example")


@pytest.mark.parametrize("answer", [[], *([address] for address in PRIVATE)])
async def test_resolver_refuses(answer: list[str]) -> None:
    """A host without a public address is refused."""
    with pytest.raises(HostRefusedError):
        await addresses_of(PublicResolver(loopback=True, inner=Names(answer)), "images.example")


async def test_resolver_loopback() -> None:
    """With a local service, `localhost` is allowed, and resolves only to this machine."""
    resolver = PublicResolver(loopback=True, inner=Names(["127.0.0.1", "8.8.8.8"]))

    assert ["127.0.0.1"] == await addresses_of(resolver, "LocalHost")


async def test_resolver_without_loopback() -> None:
    """Without a local service, `localhost` is refused."""
    with pytest.raises(HostRefusedError):
        await addresses_of(PublicResolver(loopback=False, inner=Names(["127.0.0.1"])), "localhost")


async def test_resolver_exempts_proxy() -> None:
    """The user's proxy may have any address."""
    resolver = PublicResolver(loopback=False, exempt=frozenset({"Proxy.Local"}), inner=Names(["10.0.0.1"]))

    assert ["10.0.0.1"] == await addresses_of(resolver, "proxy.local")


async def test_resolver_closes() -> None:
    """Closing the resolver closes the inner one."""
    names = Names()
    await PublicResolver(loopback=False, inner=names).close()

    assert names.is_closed


async def test_system_resolver() -> None:
    """The default inner resolver is the system's."""
    assert "127.0.0.1" in await addresses_of(PublicResolver(loopback=True), "localhost")


class TestRebinding:
    """A name server that changes its answer."""

    @pytest.fixture
    def inner(self) -> AbstractResolver:
        return Names(["127.0.0.1"], ["169.254.169.254"])

    async def test_second_answer(self, context: DownloadContext, origin: Origin) -> None:
        """Each connection goes to the address that was checked for it."""
        image = picture("PNG")
        origin.answers = [ok(image)]
        link = origin.url().replace("127.0.0.1", "localhost")
        downloads = context.downloads()

        assert image == await downloads.fetch(link)

        assert isinstance(context.session.connector, aiohttp.TCPConnector)
        context.session.connector.clear_dns_cache()
        with pytest.raises(HostRefusedError, match="no public address"):
            await downloads.fetch(link)

        assert 1 == len(origin.requests)


class TestPrivate:
    """A public name with a private address."""

    @pytest.fixture
    def inner(self) -> AbstractResolver:
        return Names(*[["10.0.0.1", "fe80::1"]] * 9)

    async def test_refused_inside_the_connector(self, context: DownloadContext) -> None:
        """Each call raises `HostRefusedError`, without frames of aiohttp and without a retry."""
        downloads = context.downloads()
        errors = await asyncio.gather(
            *(downloads.fetch("https://images.example/x.png?sig=secret") for _ in range(5)), return_exceptions=True
        )

        assert [HostRefusedError] * 5 == [type(error) for error in errors]
        assert {"https://images.example/x.png"} == {getattr(error, "url", None) for error in errors}
        assert [] == [name for error in errors if isinstance(error, HostRefusedError) for name in files_of(error)]
        assert [] == context.events


class TestUnknown:
    """A name that does not exist."""

    @pytest.fixture
    def inner(self) -> AbstractResolver:
        class Deaf(Names):
            async def resolve(
                self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
            ) -> list[ResolveResult]:
                raise OSError(socket.EAI_NONAME, "Name or service not known")

        return Deaf()

    async def test_lookup_fails(self, context: DownloadContext) -> None:
        """A failed lookup is retried, and raises `DownloadError`."""
        with pytest.raises(DownloadError, match="Name or service not known") as caught:
            await context.downloads().fetch("https://images.example/x.png?sig=secret")

        assert DownloadError is type(caught.value)
        assert "secret" not in str(caught.value)
        assert 4 == len(context.events)


def files_of(error: BaseException) -> list[str]:
    """Return the files of aiohttp in a traceback."""
    names = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return [name for name in names if "/aiohttp/" in name]
