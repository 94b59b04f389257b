"""Structure of the package: directions of imports, what an import loads, and the public names."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ideogram_async
from ideogram_async import v2
from ideogram_async._namespaces import Datasets, Legacy, Models
from ideogram_async._namespaces_v2 import V2, Account, Webhooks
from ideogram_async._operations import operations_of
from ideogram_async._rows.fields import request_classes

ROOT = Path(ideogram_async.__file__).parent
LEVELS = (
    (
        "_version",
        "_accepted",
        "_requirements",
        "_lazy",
        "_literals",
        "_names",
        "_plural",
        "_scalars",
        "_skill",
        "_formats",
        "_html",
        "_redaction",
    ),
    ("enums", "errors", "files"),
    ("events", "models"),
    ("_operations",),
    ("requests",),
    ("v2",),
    ("_store", "_wire", "_prices", "_rows"),
    ("_limiter",),
    ("_transport",),
    ("_download", "_sinks"),
    ("_ledger",),
    ("_pipeline",),
    ("_batch",),
    ("batch", "ledger", "sinks", "webhooks", "_namespaces", "_namespaces_v2", "_types", "_client"),
    ("sandbox", "cli", "demo", "integrations", "__main__"),
)
LEVEL_OF = {package: level for level, packages in enumerate(LEVELS) for package in packages}
# `from ideogram_async import X` may load the client.
LEVEL_OF["ideogram_async"] = LEVEL_OF["_client"]
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")

MAX_ANY = 12
"""Uses of `Any` in 1,000 lines of code: JSON, and values of libraries without types."""
HEAVY = ("aiohttp", "obstore", "cattrs", "tenacity", "sqlite3", "anyio", "asyncio", "PIL")
# They open connections, files or tasks, and load what they do that with.
LIGHT = [name for name in ideogram_async.__all__ if name not in ("Batch", "RunningCall")]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def imports_of(path: Path) -> set[str]:
    """Return the modules of the package that a module imports, in functions too, but not for type checkers only."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []

    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return {name for name in names if name.split(".")[0] == "ideogram_async"}


def code_lines_of(path: Path) -> int:
    """Count the lines of a module that are neither blank, nor a comment or docstring."""
    source = path.read_text()
    docs = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(source.splitlines(), 1)
    return sum(bool(line.strip()) and line.strip()[0] != "#" and number not in docs for number, line in lines)


def run(script: str) -> str:
    """Run a script in another process and return what it prints."""
    # Coverage would load a database.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True).stdout


def upwards(module: str, imports: set[str]) -> set[str]:
    """Return the imports from levels above that of a module."""
    return {name for name in imports if LEVEL_OF[package_of(name)] > LEVEL_OF[package_of(module)]}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_downwards(path: Path):
    """A module imports from no level above its own."""
    assert set() == upwards(name_of(path), imports_of(path))


def test_an_upward_import_is_found(tmp_path: Path):
    """An import in a function is found, and one for type checkers only is not."""
    path = tmp_path / "module.py"
    path.write_text(
        """
from typing import TYPE_CHECKING
from ideogram_async._wire.call import Call
if TYPE_CHECKING:
    from ideogram_async._client import Ideogram
def send():
    from ideogram_async._pipeline import pipeline
"""
    )

    assert {"ideogram_async._pipeline"} == upwards("ideogram_async._limiter.slots", imports_of(path))
    assert set() == upwards("ideogram_async.batch", imports_of(path))


def test_every_folder_is_a_package():
    """Each folder with modules has an `__init__.py`, which some tools need to find them."""
    folders = {path.parent for path in MODULES}

    assert [] == sorted(folder.name for folder in folders if not (folder / "__init__.py").exists())


def test_imports_have_no_cycle():
    """The modules can be put in an order in which each imports earlier ones only."""
    graph = {name_of(path): imports_of(path) - {"ideogram_async", name_of(path)} for path in MODULES}

    assert len(graph) <= len(list(TopologicalSorter(graph).static_order()))


@pytest.mark.parametrize("package", sorted({package_of(name_of(path)) for path in MODULES if path.parent != ROOT}))
def test_untyped_values_are_rare(package: str):
    """`Any` is rare in the code of each package."""
    paths = [path for path in MODULES if package_of(name_of(path)) == package]
    names = [node for path in paths for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)]

    assert sum(name.id == "Any" for name in names) <= MAX_ANY * sum(map(code_lines_of, paths)) / 1000


@pytest.mark.parametrize("heavy", HEAVY)
def test_importing_the_client_loads_nothing_heavy(heavy: str):
    """Importing the client and a request loads no HTTP library and nothing that comes with it."""
    assert "False\n" == run(
        f"import sys; from ideogram_async import Ideogram, Generate; print({heavy!r} in sys.modules)"
    )


def test_importing_a_value_loads_nothing_heavy():
    """Importing any public value, error, event, request or enum loads neither an HTTP library nor a database."""
    script = f"""
import sys, ideogram_async
for name in {LIGHT}:
    getattr(ideogram_async, name)
    loaded = [module for module in ("aiohttp", "cattrs", "tenacity", "sqlite3", "anyio") if module in sys.modules]
    if loaded:
        sys.exit(print(name, *loaded))
"""

    assert "" == run(script)


@pytest.mark.parametrize("name", ideogram_async.__all__)
def test_every_public_name_loads(name: str):
    """Each exported name is an attribute, listed by `dir`, and documented."""
    value = getattr(ideogram_async, name)

    assert name in dir(ideogram_async)
    assert inspect.getdoc(value)


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name raises as in any module."""
    with pytest.raises(AttributeError, match="Ideogrom"):
        ideogram_async.Ideogrom  # noqa: B018


def test_every_request_has_one_method():
    """Each request class is one method of the client or of its namespaces; a custom request is sent by `send`."""
    owners = (ideogram_async.Ideogram, Legacy, Datasets, Models, V2, Account, Webhooks)
    methods = [request for owner in owners for request in operations_of(owner).values()]

    assert {*request_classes()} - {*methods} == {v2.Custom, v2.GetGeneration, v2.GetGenerationV1}
    assert len({*methods}) == len(methods)
