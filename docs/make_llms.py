"""Generator of the site's texts for language models: `llms.txt`, `llms-full.txt`, and each page as Markdown.

`nox -s docs` runs it after the site is built. The format is that of https://llmstxt.org, so the Markdown of
`guide.html` is `guide.html.md`. Entries of the reference, which the site renders, are written from the docstrings.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from attrs import frozen

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = "Optional"
"""The section that may be left out of a short context: pages outside of the groups of the navigation."""
NOTES = """\
Every POST to the service costs money, and it has no idempotency key: never resend a paid call, count images instead of
requests, and download images before their links expire. `ideogram-async skill` prints a skill for coding agents, with
a web app and a bulk job to copy. [All pages in one text](llms-full.txt)."""

FENCE = re.compile(r"^(```.*?^```)$", re.DOTALL | re.MULTILINE)
FRONT_MATTER = re.compile(r"\A---\n.*?^---\n+", re.DOTALL | re.MULTILINE)
HTML = re.compile(r"<!--.*?-->\n?|</?[a-zA-Z][\w-]*(?:\s[^<>]*)?/?>", re.DOTALL)
CODE = re.compile(r"(`[^`\n]+`)")
ENTRY = re.compile(r"^::: ([\w.]+)\n((?:    .*\n)*)", re.MULTILINE)
CROSS_REFERENCE = re.compile(r"\[([^\]]+)\]\[ideogram_async[\w.]*\]")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)\.md(?=[)#])")
TEXT_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
LISTED = re.compile(r"^- \[[^\]]+\]\(([^)]+)\): (.+(?:\n  .+)*)$", re.MULTILINE)
QUOTED = re.compile(r"(: |-> )'([^']*)'")


@frozen
class Page:
    """A page of the site."""

    path: str
    title: str
    section: str
    text: str

    @property
    def introduction(self) -> str:
        """The first sentence of its text."""
        blocks = FENCE.sub("", self.text).split("\n\n")
        paragraph = next(block for block in blocks if block.strip() and block.lstrip()[0] not in "#|!-*")
        sentence: str = re.split(r"(?<=[.!?])\s", " ".join(paragraph.split()))[0]
        return TEXT_LINK.sub(r"\1", sentence)


def make_llms(pages: Path = ROOT / "build" / "docs", site: Path = ROOT / "build" / "site") -> None:
    """Write the texts into the folder of the site, from the pages that it was built from."""
    read = [*read_pages(pages)]
    for page in read:
        target = site / f"{html_path(page.path)}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page.text, encoding="utf-8")

    (site / "llms.txt").write_text(index(read), encoding="utf-8")
    (site / "llms-full.txt").write_text(full(read), encoding="utf-8")


def read_pages(folder: Path) -> Iterator[Page]:
    """Yield the pages of the navigation, in its order."""
    for section, title, path in navigation(PROJECT["nav"]):
        yield Page(path, title, section, plain((folder / path).read_text(encoding="utf-8")))


def navigation(items: list[dict[str, Any]], section: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield section, title and path of each page. A group in a group belongs to its section."""
    for title, content in ((title, content) for item in items for title, content in item.items()):
        if isinstance(content, str):
            yield section or OPTIONAL, title, content
        else:
            yield from navigation(content, section or title)


def index(pages: list[Page]) -> str:
    """Return the text of `llms.txt`. The first page, the README, lists most pages with their contents."""
    sections: dict[str, list[str]] = {}
    listed = {path: " ".join(text.split()) for path, text in LISTED.findall(pages[0].text)}
    for page in sorted(pages, key=lambda page: page.section == OPTIONAL):
        path = f"{html_path(page.path)}.md"
        line = f"- [{page.title}]({path}): {listed.get(path, page.introduction)}"
        sections.setdefault(page.section, []).append(line)

    parts = [f"# {PROJECT['site_name']}", f"> {PROJECT['site_description']}", NOTES]
    return "\n\n".join([*parts, *("\n".join([f"## {name}", "", *lines]) for name, lines in sections.items())]) + "\n"


def full(pages: list[Page]) -> str:
    """Return the text of `llms-full.txt`."""
    head = f"# {PROJECT['site_name']}\n\n> {PROJECT['site_description']}\n"
    return "\n".join([head, *(f"---\n\nSource: {html_path(page.path)}\n\n{page.text}" for page in pages)])


def html_path(path: str) -> str:
    """Return the path of a page in the site."""
    return path.removesuffix(".md") + ".html"


def plain(text: str) -> str:
    """Return the text of a page without HTML, with the entries of the reference, and links to other texts."""
    text = ENTRY.sub(_entry_of, FRONT_MATTER.sub("", text))
    parts = FENCE.split(text)
    # The blocks of code are every second part.
    parts[::2] = [_without_html(part) for part in parts[::2]]
    return re.sub(r"\n{3,}", "\n\n", "".join(parts)).strip("\n") + "\n"


def _without_html(text: str) -> str:
    parts = CODE.split(text)
    parts[::2] = [HTML.sub("", part) for part in parts[::2]]
    return LINK.sub(r"\1.html.md", CROSS_REFERENCE.sub(r"\1", "".join(parts)))


def _entry_of(match: re.Match[str]) -> str:
    options = dict(line.strip().split(": ", 1) for line in match[2].splitlines() if ": " in line)
    documentation = inspect.getdoc(resolve_name(match[1])) or ""
    if options.get("show_root_heading") == "false":
        return f"{documentation}\n"

    return entry(resolve_name(match[1]), options.get("heading", match[1].removeprefix("ideogram_async._namespaces")))


def entry(value: Any, heading: str) -> str:
    """Return the entry of a public name: signature, documentation and members."""
    parts = [f"## {heading}", signature(value), _documentation(value)]
    if inspect.isclass(value):
        parts += ["\n".join(_attributes(value)), *_methods(value)]

    return "\n\n".join(part for part in parts if part) + "\n"


def signature(value: Any) -> str:
    """Return the signature of a function or class as code, if it has one of its own."""
    if not (inspect.isroutine(value) or (inspect.isclass(value) and not issubclass(value, Enum))):
        return ""

    try:
        text = QUOTED.sub(r"\1\2", str(inspect.signature(value)))
    except ValueError:
        # A subclass of `str`.
        return ""

    return f"```python\n{value.__name__}{text}\n```"


def _documentation(value: Any) -> str:
    is_own = inspect.isroutine(value) or inspect.isclass(value)
    return (inspect.getdoc(value) or "") if is_own else f"`{value}`"


def _attributes(owner: type) -> Iterator[str]:
    """Yield a line for each documented attribute of a class, and for each member of an enum."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for node, following in zip(body, [*body[1:], None], strict=True):
        match node, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield f"- `{name}: {ast.unparse(node.annotation)}`: {' '.join(text.split())}"
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)), _ if issubclass(owner, Enum):
                yield f"- `{name}`: `{value!r}`"
            case _:
                pass


def _methods(owner: type) -> Iterator[str]:
    """Yield an entry for each public method and property that a class defines."""
    for name, member in vars(owner).items():
        value = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            parts = [f"### {owner.__name__}.{name}", signature(value), inspect.getdoc(value) or ""]
            yield "\n\n".join(part for part in parts if part)


if __name__ == "__main__":
    make_llms(*map(Path, sys.argv[1:]))
