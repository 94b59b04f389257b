"""The texts for language models: every page is in them, their links lead to files, and nothing in them is HTML."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from support.paths import ROOT

import ideogram_async

LLMS = runpy.run_path(str(ROOT / "docs" / "make_llms.py"))
SITE = runpy.run_path(str(ROOT / "docs" / "make_site.py"))
PATHS = [path for _, _, path in LLMS["navigation"](LLMS["PROJECT"]["nav"])]
"""The pages of the navigation."""
CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The texts by their path in the site."""
    pages, site = (tmp_path_factory.mktemp(name) for name in ("pages", "site"))
    SITE["make_site"](pages)
    LLMS["make_llms"](pages, site)
    return {str(path.relative_to(site)): path.read_text() for path in site.rglob("*") if path.is_file()}


def test_the_index_has_the_format(site: dict[str, str]) -> None:
    """`llms.txt` has a title, a summary, a note, and sections of links, each with one line of text."""
    title, summary, note, *sections = site["llms.txt"].split("\n\n")
    headings, lists = sections[::2], sections[1::2]

    assert ("# ideogram_async", "> ") == (title, summary[:2])
    assert "never resend a paid call" in note
    assert "## Optional" == headings[-1]
    assert [] == [heading for heading in headings if not re.fullmatch("## .+", heading)]
    assert [] == [line for text in lists for line in text.splitlines() if not re.fullmatch(r"- \[.+\]\(.+\): .+", line)]


def test_every_page_is_in_both_texts(site: dict[str, str]) -> None:
    """Each page of the navigation is a link of the index, and is in the full text as a whole."""
    texts = {path: path.removesuffix(".md") + ".html.md" for path in PATHS}

    assert sorted(texts.values()) == sorted(re.findall(r"^- \[.+?\]\((.+?)\)", site["llms.txt"], re.MULTILINE))
    assert [] == [path for path, text in texts.items() if site[text] not in site["llms-full.txt"]]
    assert set(site) == {*texts.values(), "llms.txt", "llms-full.txt"}


def test_the_links_lead_to_texts(site: dict[str, str]) -> None:
    """Each relative link of a text leads to another one, or to a file that the site has."""
    assets = {*SITE["assets"]()}
    links = [
        (path, str(Path(path).parent / link))
        for path, text in site.items()
        if path != "llms-full.txt"
        for link in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", CODE.sub("", text))
    ]

    assert 200 < len(links)
    assert [] == [(path, link) for path, link in links if link not in {*site, *assets}]


@pytest.mark.parametrize("noise", [r"</?[a-zA-Z][\w-]*[\s/>]", "<!--", r"^:::", r"\]\[ideogram_async", r"^---\nsearch"])
def test_there_is_no_html(site: dict[str, str], noise: str) -> None:
    """Outside of code there are no tags, comments, directives or settings of the site."""
    found = {path: re.findall(f".*(?:{noise}).*", CODE.sub("", text), re.MULTILINE) for path, text in site.items()}

    assert {} == {path: lines for path, lines in found.items() if lines}


def test_every_public_name_has_its_signature(site: dict[str, str]) -> None:
    """The full text has an entry for each public name and each method of the client, as `help` shows it."""
    text = site["llms-full.txt"]
    names = [f"ideogram_async.{name}" for name in ideogram_async.__all__ if name != "__version__"]
    methods = [f"Ideogram.{name}" for name, value in vars(ideogram_async.Ideogram).items() if callable(value)]

    assert [] == [name for name in names if f"\n## {name}\n" not in text]
    assert [] == [name for name in methods if "._" not in name and not re.search(f"\n#+ {name}\n\n```python\n", text)]
    assert "\nonce(self, key: str, request: Request[R], /, *, ledger: t.Ledger | None = None" in text
