"""Generator of the pages that the site is built from: those of the repository, and the reference.

`nox -s docs` runs it. The site is a folder of its own, so links to other files of the repository lead to its address.
"""

from __future__ import annotations

import re
import runpy
import shutil
import sys
import tomllib
from pathlib import Path, PurePosixPath
from posixpath import normpath

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "build" / "docs"
"""The folder that `zensical.toml` names."""
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]
REFERENCE = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
ROOT_PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages outside of `docs`, by their path in the repository."""
NOT_LINKED = ("CHANGELOG.md", "CONTRIBUTING.md", "reference.md")
"""Pages whose names do not link to the reference."""
PAGES_AND_PROGRAMS = (".md", ".py")
"""Suffixes of the files in `docs` that are not assets."""

FENCE = re.compile(r"^(```.*?^```|<!--.*?-->)$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"""((?:\]\(|\b(?:src|srcset|href)="))(?!\w+:|#)([^)\s#"]+)(?=[)\s#"])""")
CODE = re.compile(r"`[^`\n]+`")
NAMED = re.compile(r"(^#.*$|\[(?:[^]`]|`[^`]*`)*\][([][^])]*[])])|`((?:[A-Z]|client\.)[\w.]*(?:\(\))?)`", re.MULTILINE)
"""A heading, a link, or code that may be a public name."""
CONTENTS = re.compile(r"\A(# .+\n\n)(?:- \[[^\]]+\]\(#[^)]+\)\n)+\n")
"""A list of the headings at the top of a page, which the site shows beside it."""


def make_site(folder: Path = PAGES) -> None:
    """Write the pages into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = {name: site_page(ROOT / path) for path, name in site_names().items()}
    for path, text in (pages | generated_pages(pages["reference.md"])).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")

    for path in assets():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "docs" / path, folder / path)


def assets() -> list[str]:
    """Return the pictures and styles in `docs`, which are copied to the site, by their paths there."""
    docs = ROOT / "docs"
    files = [path for path in docs.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [str(path.relative_to(docs)) for path in files if path.suffix not in PAGES_AND_PROGRAMS]


def site_names() -> dict[str, str]:
    """Return the page of the site that each Markdown file of the repository becomes."""
    return ROOT_PAGES | {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}


def site_page(source: Path) -> str:
    """Return the text of a page for the site."""
    text = CONTENTS.sub(r"\1", source.read_text(encoding="utf-8"))
    parts = FENCE.split(text)
    # The blocks of code are every second part.
    parts[::2] = [_with_links(part, source.parent.relative_to(ROOT)) for part in parts[::2]]
    if source.name not in NOT_LINKED:
        linked: set[str] = set()
        parts[::2] = [_with_entries(part, source.stem, linked) for part in parts[::2]]

    return "".join(parts)


def _with_entries(text: str, page: str, linked: set[str]) -> str:
    """Return a text in which the first use of each public name on a page is a link to its entry."""

    def link(match: re.Match[str]) -> str:
        name = match[2] or ""
        target = REFERENCE["target"](name)
        # The second contract has names such as `Image`, which other pages use for other things.
        if target is None or name in linked or (".v2." in target and page != "v2"):
            return match[0]

        linked.add(name)
        return f"[`{name}`][{target}]"

    return NAMED.sub(link, text)


def _with_links(text: str, folder: Path) -> str:
    text = LINK.sub(lambda match: match[1] + _site_link(match[2], folder), text)
    # In a table, code hosts need a backslash before a pipe, which Python's Markdown shows.
    return CODE.sub(lambda match: match[0].replace(r"\|", "|"), text)


def _site_link(link: str, folder: Path) -> str:
    path = normpath(PurePosixPath(folder) / link)
    if path in site_names():
        return site_names()[path]

    own = path.removeprefix("docs/")
    return own if own != path and own in assets() else f"{REPOSITORY}/blob/main/{path}"


def generated_pages(index: str) -> dict[str, str]:
    """Return the pages that are written from the code, by their path."""
    commands = runpy.run_path(str(ROOT / "docs" / "make_commands.py"))
    pages: dict[str, str] = REFERENCE["pages"](index) | commands["pages"]()
    return pages


if __name__ == "__main__":
    make_site(*map(Path, sys.argv[1:]))
