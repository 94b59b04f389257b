"""Generator of the reference: a page for each group of public names, which mkdocstrings fills from the docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

import ideogram_async
from ideogram_async._operations import operations_of

ROOT = "ideogram_async"
INTEGRATIONS = ("fastapi", "objects", "dbos", "temporal", "redis", "otel", "logs")
MODULES = (
    *("errors", "enums", "events", "files", "models", "requests", "batch", "v2", "ledger", "sinks", "webhooks"),
    *("sandbox", *(f"integrations.{name}" for name in INTEGRATIONS)),
)
"""Public modules below the package."""
PAGES = {
    "client": "Client",
    "requests": "Requests",
    "models": "Answers",
    "v2": "Second contract",
    "batch": "Batches",
    "errors": "Errors",
    "events": "Events",
    "enums": "Enums",
    "ledger": "Ledgers",
    "sinks": "Sinks",
    "webhooks": "Webhooks",
    "sandbox": "Sandbox",
    "fastapi": "FastAPI",
    "objects": "Object storage",
    "dbos": "DBOS",
    "temporal": "Temporal",
    "redis": "Redis",
    "otel": "OpenTelemetry",
    "logs": "Logs",
}
"""The pages and their titles."""
BATCHES = {"Batch", "FromJob", "ImageState", "Job", "JobResult", "JobState", "Plan", "Report", "StoredImage"}
CLIENT = {"ColorPaletteMember", "LimiterStatistics", "Price", "Reply", "Unchecked"}
NAMESPACES = ("v2", "generations", "account", "webhooks", "datasets", "models", "legacy")
"""Groups of methods of the client."""
NOTES = {
    "client": "The client, and the values that its methods take and return.",
    "requests": "Each request is also a method of the [client](client.md), with the same signature.",
    "models": """Answers, and the values in them, have `to_dict()`, which returns what `json.dumps` accepts. An answer
with one list, such as its images, has the `for`, `len()` and `[i]` of that list.""",
}
OPTIONS: dict[str, dict[str, object]] = {
    "errors": {"show_bases": True, "show_signature": False, "separate_signature": False}
}
"""Options of the entries on a page. Errors are caught, not constructed."""
FIRST = ("Ideogram", "IdeogramError", "Event")
"""Names that come first on their page. The others are sorted."""


def pages(index: str) -> dict[str, str]:
    """Return the pages by their path. The first one is `index`, followed by a list of all names."""
    names = public_names()
    texts = {f"reference/{page}.md": _page(page, title, names[page]) for page, title in PAGES.items()}
    return {"reference.md": f"---\nsearch:\n  exclude: true\n---\n\n{index}\n{_index(names)}", **texts}


def public_names() -> dict[str, list[str]]:
    """Return the full names on each page. A name in several modules is shown once, in the first of them."""
    names: dict[str, list[str]] = {page: [] for page in PAGES}
    seen: set[int] = set()
    for module in (import_module(path) for path in (ROOT, *(f"{ROOT}.{path}" for path in MODULES))):
        for name in sorted(module.__all__, key=lambda name: (name not in FIRST, name.lower())):
            value = getattr(module, name)
            if name != "__version__" and id(value) not in seen:
                seen.add(id(value))
                names[_page_of(module, name, value)].append(f"{module.__name__}.{name}")

    return names


def methods() -> dict[str, str]:
    """Return the methods in the groups of the client: the names that users write, and the full names."""
    return {
        f"client.{group}.{name}": f"{owner.__module__}.{owner.__name__}.{name}"
        for group in NAMESPACES
        for owner in [getattr(ideogram_async.Ideogram, group)]
        for name, value in vars(owner).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


@cache
def links() -> dict[str, str]:
    """Return the full name that a name in a text stands for. The names of the package itself come before others."""
    names = [name for names in public_names().values() for name in names]
    names.sort(key=lambda name: name.count("."), reverse=True)
    return {name.rpartition(".")[2]: name for name in names} | methods()


def target(name: str) -> str | None:
    """Return the full name of the entry that a name in a text stands for, such as `client.send`."""
    if name in links():
        return links()[name]

    first, _, rest = name.removesuffix("()").partition(".")
    owner = f"{ROOT}.Ideogram" if first == "client" else links().get(first)
    member = getattr(resolve_name(owner), rest, None) if owner and rest.isidentifier() else None
    return f"{owner}.{rest}" if inspect.isfunction(member) or isinstance(member, property) else None


def operations() -> dict[str, Any]:
    """Return the methods of the client that are made from requests, by their full names."""
    owners = [ideogram_async.Ideogram, *(getattr(ideogram_async.Ideogram, group) for group in NAMESPACES)]
    return {
        f"{owner.__module__}.{owner.__name__}.{name}": vars(owner)[name]
        for owner in owners
        for name in operations_of(owner)
    }


def _page_of(module: ModuleType, name: str, value: Any) -> str:
    own = module.__name__.rpartition(".")[2]
    if module is not ideogram_async:
        return "client" if own == "files" else own

    if name in BATCHES | CLIENT:
        return "batch" if name in BATCHES else "client"

    page = value.__module__.split(".")[1]
    return page if page in PAGES else "client"


def _page(page: str, title: str, names: list[str]) -> str:
    module = f"{ROOT}.{page}" if page in MODULES else f"{ROOT}.integrations.{page}"
    parts = [f"# {title}"]
    if page != "client":
        parts += [_entry(module, show_root_heading=False, show_root_toc_entry=False, members=False)]

    entries = [_entry(name, **OPTIONS.get(page, {})) for name in names]
    if page == "client":
        entries[1:1] = _groups()

    return "\n\n".join([*parts, *([NOTES[page]] if page in NOTES else ()), *entries]) + "\n"


def _groups() -> Iterator[str]:
    """Yield the groups of methods of the client, each with its methods."""
    for group in NAMESPACES:
        owner = getattr(ideogram_async.Ideogram, group)
        yield f"## client.{group}\n\n{inspect.getdoc(owner)}"
        for shown, path in methods().items():
            if shown.startswith(f"client.{group}."):
                yield _entry(path, heading=shown, toc_label=shown, heading_level=3)


def _entry(name: str, **options: Any) -> str:
    """Return the directive for mkdocstrings."""
    if not options:
        return f"::: {name}"

    return "\n      ".join([f"::: {name}\n    options:", *(f"{key}: {value}" for key, value in options.items())])


def _index(names: dict[str, list[str]]) -> str:
    sections = []
    for page, title in PAGES.items():
        lines = [f"- [`{name.rpartition('.')[2]}`][{name}]: {summary(name)}" for name in names[page]]
        sections.append("\n".join([f"## [{title}](reference/{page}.md)", "", *lines, ""]))

    return "\n".join(sections)


def summary(name: str) -> str:
    """Return the first sentence of a name's documentation."""
    paragraph = (inspect.getdoc(resolve_name(name)) or "").split("\n\n")[0]
    sentence = re.split(r"(?<=\.) ", " ".join(paragraph.split()))[0]
    return sentence.removesuffix(":")
