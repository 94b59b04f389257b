"""The pages that the site is built from: nothing public is missing, and links lead to pages of the site."""

from __future__ import annotations

import inspect
import re
import runpy
import tomllib
from importlib import import_module
from os.path import normpath
from pathlib import Path
from pkgutil import iter_modules, resolve_name
from typing import Any

import pytest
from support.paths import ROOT

import ideogram_async

REFERENCE = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
SITE = runpy.run_path(str(ROOT / "docs" / "make_site.py"))
NOT_IMPORTED = ("ideogram_async.cli", "ideogram_async.demo")
"""Programs, whose names are not for import."""
NAVIGATION = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages by their path."""
    folder = tmp_path_factory.mktemp("site")
    SITE["make_site"](folder)
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.md")}


def public_modules() -> list[Any]:
    """Return the package, the public modules directly below it, and the integrations."""
    from ideogram_async import integrations

    found = [*iter_modules(ideogram_async.__path__, "ideogram_async.")]
    found += iter_modules(integrations.__path__, "ideogram_async.integrations.")
    names = [info.name for info in found if "._" not in info.name]
    modules = [import_module(name) for name in names if name not in NOT_IMPORTED]
    return [ideogram_async, *(module for module in modules if hasattr(module, "__all__"))]


def entries(pages: dict[str, str]) -> list[str]:
    """Return the full names that the reference has entries for."""
    return [name for text in pages.values() for name in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)]


def test_every_public_name_has_an_entry(pages: dict[str, str]) -> None:
    """Each name in the `__all__` of a public module is an entry of the reference, under one of its names."""
    shown = {id(resolve_name(name)) for name in entries(pages)}
    names = [(module, name) for module in public_modules() for name in module.__all__ if name != "__version__"]

    assert [] == [f"{module.__name__}.{name}" for module, name in names if id(getattr(module, name)) not in shown]


def test_every_method_of_the_client_has_an_entry(pages: dict[str, str]) -> None:
    """The methods in the groups of the client, such as `client.v2`, are entries. Its own are members of its class."""
    groups = [owner for _, owner in inspect.getmembers(ideogram_async.Ideogram, inspect.isclass) if owner is not type]
    methods = [(owner, name) for owner in groups for name, value in vars(owner).items() if inspect.isfunction(value)]
    names = [f"{owner.__module__}.{owner.__name__}.{name}" for owner, name in methods if not name.startswith("_")]

    assert 7 == len(groups)
    assert [] == [name for name in names if name not in entries(pages)]


def test_every_command_has_a_heading(pages: dict[str, str]) -> None:
    """Each command of the program, at any depth, has a heading on the pages of the commands."""
    from ideogram_async.cli.app import make_app

    commands = list(command_names(make_app(), ""))
    texts = [text for path, text in pages.items() if path.startswith("reference/commands")]
    headings = re.findall(r"^#+ `(.+)`$", "\n".join(texts), re.MULTILINE)

    assert 90 < len(commands)
    assert [] == sorted({*commands} - {*headings})


def command_names(app: Any, prefix: str) -> Any:
    for command in app:
        if not command.startswith("-"):
            yield f"{prefix}{command}"
            yield from command_names(app[command], f"{prefix}{command} ")


def test_commands_with_options_of_their_own_show_them(pages: dict[str, str]) -> None:
    """The options of commands that do not use cyclopts are on the page, too."""
    assert "--balance-usd BALANCE_USD" in pages["reference/commands.md"]


def test_every_page_is_in_the_navigation(pages: dict[str, str]) -> None:
    """The navigation lists each page once."""
    assert sorted(pages) == sorted(paths(NAVIGATION))


def paths(navigation: Any) -> list[str]:
    if isinstance(navigation, str):
        return [navigation]

    items = navigation if isinstance(navigation, list) else navigation.values()
    return [path for item in items for path in paths(item)]


def test_links_lead_to_pages_of_the_site(pages: dict[str, str]) -> None:
    """Each relative link of a page is one of the site, or of a file that is copied to it."""
    links = [
        (path, link)
        for path, text in pages.items()
        for link in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    ]
    targets = {*pages, *SITE["assets"]()}

    assert [] == [(path, link) for path, link in links if normpath(Path(path).parent / link) not in targets]


def test_code_in_tables_has_no_backslash(pages: dict[str, str]) -> None:
    """A pipe in a table is escaped on a code host, and not on the site."""
    assert r"`\| head`" in (ROOT / "docs" / "stopping.md").read_text()
    assert "`| head`" in pages["stopping.md"]


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda page: page.stem)
def test_pictures_are_files(page: Path) -> None:
    """Each picture of a page exists where a code host looks for it, in HTML too."""
    sources = re.findall(
        r"""\b(?:src|srcset)="(?!https?:)([^"]+)"|!\[[^]]*\]\((?!https?:)([^)]+)\)""", page.read_text()
    )

    assert [] == [path for match in sources for path in match if path and not (page.parent / path).is_file()]


def test_the_first_use_of_a_name_links_to_its_entry(pages: dict[str, str]) -> None:
    """On the site, a public name in the text of a page links to the reference once; headings and other links stay."""
    links = re.findall(r"\[`([^`]+)`\]\[([\w.]+)\]", pages["guide.md"])

    assert ("AmbiguousError", "ideogram_async.AmbiguousError") in links
    assert len(links) == len({*links})
    assert [] == re.findall(r"^#.*\]\[ideogram_async.*", "\n".join(pages.values()), re.MULTILINE)
