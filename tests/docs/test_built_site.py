"""The built site: links, anchors and entries, and its search in a browser without a network."""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import AsyncIterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from aiohttp import web
from support.browser import Page, browsing
from support.paths import ROOT

SITE = Path(os.environ.get("SITE", ROOT / "build" / "site")).resolve()
REFERENCE = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
FETCHED = {"img": "src", "script": "src", "source": "srcset", "iframe": "src", "link": "href"}
"""Attributes of tags whose addresses a browser fetches."""
IN_STYLES = re.compile(r"url\(([^)]+)\)|@import")
SIGNATURE = re.compile(r'<h\d id="([^"]*)".*?</h\d>|<div class="language-python.*?</pre></div>', re.DOTALL)
ENTRY = "reference/errors.html#ideogram_async.AmbiguousError"
IN_SEARCH = "(s => [...document.querySelectorAll('*')].map(e => e.shadowRoot?.querySelector(s)).find(Boolean))"
"""A function that finds an element of the search, which has a tree of its own."""
TYPED = f"""(() => {{
    const input = {IN_SEARCH}("input")
    if (!(Date.now() - input.typedAt < 1000)) {{
        input.typedAt = Date.now()
        input.value = "TEXT"
        input.dispatchEvent(new Event("input", {{ bubbles: true }}))
    }}
    return {IN_SEARCH}("a[href*=TEXT]")
}})()"""

pytestmark = pytest.mark.skipif("SITE" not in os.environ, reason="nox -s docs builds the site")


class Tags(HTMLParser):
    """The anchors and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.links += [values["href"]] if tag == "a" and "href" in values else []
        self.fetched += [values[FETCHED[tag]]] if FETCHED.get(tag) in values else []


@cache
def pages() -> dict[str, Tags]:
    """Return the pages by their path, without the one for addresses that do not exist."""
    paths = [path for path in SITE.rglob("*.html") if path.name != "404.html"]
    return {str(path.relative_to(SITE)): Tags(path.read_text(encoding="utf-8")) for path in paths}


def is_outside(address: str) -> bool:
    return bool(urlsplit(address).scheme or urlsplit(address).netloc) and not address.startswith("data:")


def test_links_lead_to_pages_and_anchors_of_the_site() -> None:
    """Each link, picture, style and script of a page is a file of the site, and each fragment an anchor in it."""
    addresses = {
        (path, address)
        for path, tags in pages().items()
        for address in (*tags.links, *tags.fetched)
        if not is_outside(address) and not address.startswith("data:")
    }

    assert len(addresses) > 3000
    assert [] == sorted(f"{path}: {address}" for path, address in addresses if not leads_somewhere(path, address))


def leads_somewhere(path: str, address: str) -> bool:
    target, _, fragment = urljoin(path, unquote(address)).partition("#")
    target = target or path
    return (SITE / target).is_file() and (not fragment or fragment in pages()[target].anchors)


def test_nothing_is_fetched_from_elsewhere() -> None:
    """Fonts, styles, scripts and pictures are files of the site."""
    fetched = [(path, address) for path, tags in pages().items() for address in tags.fetched if is_outside(address)]
    styles = [style for path in SITE.rglob("*.css") for style in IN_STYLES.findall(path.read_text())]

    assert [] == fetched
    assert [] == [style for style in styles if "//" in style and not style.strip("'\"").startswith("data:")]


def test_links_to_other_sites_are_listed() -> None:
    """Links to other sites use https, but for servers on the reader's machine. They are listed, and not fetched."""
    links = {link for tags in pages().values() for link in tags.links if is_outside(link)}
    links -= {link for link in links if urlsplit(link).hostname in ("127.0.0.1", "localhost")}
    (SITE.parent / "outside-links.txt").write_text("\n".join(sorted(links)) + "\n")

    assert [] == [link for link in links if not link.startswith("https://")]


def test_the_texts_for_language_models_are_next_to_the_pages() -> None:
    """The root of the site has both texts, and each page has its Markdown next to it."""
    texts = {str(path.relative_to(SITE)) for path in [*SITE.rglob("*.html.md"), *SITE.glob("llms*.txt")]}

    assert {f"{page}.md" for page in pages()} | {"llms.txt", "llms-full.txt"} == texts


def test_every_name_has_an_anchor_on_its_page() -> None:
    """Each public name, and each method of the client, has an anchor of its own: its full name."""
    names = [(page, name) for page, names in REFERENCE["public_names"]().items() for name in names]
    methods = [("client", name) for name in (*REFERENCE["methods"]().values(), *REFERENCE["operations"]())]
    anchors = {page: pages()[f"reference/{page}.html"].anchors for page, _ in names}

    assert [] == [name for page, name in (*names, *methods) if anchor_of(name) not in anchors[page]]


def anchor_of(name: str) -> str:
    """Return the anchor of a full name. The client has the one that users import."""
    return name.replace("ideogram_async._client.", "ideogram_async.")


def test_every_entry_says_something() -> None:
    """Each class and function of the reference has text of its own below its heading."""
    texts = [(SITE / "reference" / f"{page}.html").read_text(encoding="utf-8") for page in REFERENCE["PAGES"]]
    entries = [entry for text in texts for entry in re.split(r'<div class="doc doc-object', text)[1:]]

    assert len(entries) > 300
    assert [] == [entry[:300] for entry in entries if "<p>" not in SIGNATURE.sub("", entry)]


def test_a_batch_shows_no_constructor() -> None:
    """The method that creates it has the arguments; the others are no business of users."""
    text = (SITE / "reference" / "batch.html").read_text(encoding="utf-8")
    [_, entry, *_] = re.split(r'<div class="doc doc-object', text[text.index('id="ideogram_async.Batch"') - 200 :])

    assert "Created by" in entry
    assert [] == [word for word in ("transport", "BatchOptions", "PriceTable") if word in entry]


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """The address of the site on a plain server of files."""
    app = web.Application()
    app.router.add_static("/", SITE)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A browser."""
    async with browsing(tmp_path / "profile") as page:
        await page.watch_requests()
        yield page


@pytest.mark.programs
async def test_pages_fit_a_phone(page: Page) -> None:
    """No page is wider than a phone: tables and code scroll by themselves. Each picture is shown."""
    await page.resize(390, 844)
    for name in ("index", "tutorial", "architecture", "prices", "reference/requests", "reference/commands"):
        await page.open((SITE / f"{name}.html").as_uri())

        assert 390 >= await page.run("document.documentElement.scrollWidth")
        assert 0 == await page.run("[...document.images].filter(image => !image.naturalWidth).length")


@pytest.mark.programs
async def test_the_search_finds_a_name(page: Page, address: str) -> None:
    """The search finds the entry of an error, from a plain server, and nothing is requested from elsewhere."""
    await page.open(f"{address}index.html")

    assert f"{address}{ENTRY}" in await found(page, "AmbiguousError")
    assert [] == [url for url in page.requested if not url.startswith((address, "data:"))]


@pytest.mark.programs
async def test_the_search_works_without_a_server(page: Page) -> None:
    """The search of a page that is opened as a file finds the same."""
    await page.open((SITE / "reference" / "client.html").as_uri())

    assert f"{SITE.as_uri()}/{ENTRY}" in await found(page, "AmbiguousError")
    assert [] == [url for url in page.requested if not url.startswith(("file:", "data:", "about:"))]


async def found(page: Page, text: str) -> list[str]:
    """Return the addresses of the first three results of a search."""
    await page.until(f"{IN_SEARCH}('input')")
    await page.run("document.querySelector('.md-search__button').click()")
    # A text that is typed before the index is read may find nothing.
    await page.until(TYPED.replace("TEXT", text))
    addresses = await page.run(f"[...{IN_SEARCH}('ol').querySelectorAll('a')].map(a => a.href)")
    return [address.replace(f"?h={text}", "") for address in addresses[:3]]
