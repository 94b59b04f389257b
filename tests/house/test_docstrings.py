"""Docstrings: their form, and the arguments and errors that they name."""

from __future__ import annotations

import ast
import builtins
import inspect
import pydoc
import re
from collections.abc import Collection, Iterator
from functools import cache
from types import FunctionType

import pytest
from support.paths import ROOT
from support.surface import public_values

PACKAGE = ROOT / "ideogram_async"
MODULES = sorted(PACKAGE.rglob("*.py"))
# The first word of a module's docstring is part of a noun phrase, that of a function an imperative (ruff: D401).
NOT_A_NOUN = {
    *("How", "What", "When", "Where", "Whether", "Which", "Who", "Why", "That", "This", "These"),
    *("Contains", "Converts", "Defines", "Handles", "Implements", "Makes", "Provides", "Returns"),
    *(
        "Convert",
        "Create",
        "Define",
        "Handle",
        "Implement",
        "Make",
        "Provide",
        "Raise",
        "Return",
        "Send",
        "Use",
        "Wait",
    ),
}
NOT_A_VERB = {"Give", "Have", "Help", "Judge", "Know", "Look", "See", "Say", "Tell"}
PUBLIC = [value for _, value in public_values() if isinstance(value, type)]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def classes() -> frozenset[str]:
    """Return the names of all classes of the package."""
    trees = [ast.parse(path.read_text()) for path in MODULES]
    return frozenset(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def faults(source: str, known: Collection[str] = (), *, has_options: bool = False) -> Iterator[str]:
    """Yield what is wrong with the docstrings of a module.

    Args:
        source: The module.
        known: Names of classes in other modules.
        has_options: Whether an argument may be undocumented, because the command line documents it with its type.
    """
    tree = ast.parse(source)
    title = (ast.get_docstring(tree) or "").partition("\n")[0]
    if not title.endswith(".") or title.split()[0] in NOT_A_NOUN:
        yield f"the module: {title!r} is not a noun phrase with a period"

    nodes = [*ast.walk(tree)]
    imported = [node.asname or node.name for node in nodes if isinstance(node, ast.alias)]
    defined = [node.name for node in nodes if isinstance(node, ast.ClassDef)]
    errors = {*known, *imported, *defined, *dir(builtins)}
    for node in nodes:
        if isinstance(node, Function | ast.ClassDef):
            yield from (f"{node.name}: {fault}" for fault in _faults_of(node, errors, has_options=has_options))


def _faults_of(node: Function | ast.ClassDef, errors: Collection[str], *, has_options: bool) -> Iterator[str]:
    doc = ast.get_docstring(node) or ""
    for name in section(doc, "Raises"):
        if name not in errors and ("." not in name or pydoc.locate(name) is None):
            yield f"raises {name}, which does not exist"

    if isinstance(node, ast.ClassDef):
        return
    if doc and doc.split()[0] in NOT_A_VERB:
        yield f"{doc.split()[0]!r} is not a standard verb"

    documented, arguments = section(doc, "Args"), _arguments(node)
    expected = [name for name in arguments if name in documented] if has_options else arguments
    if documented and documented != expected:
        yield f"documents the arguments {documented}, not {expected}"


def section(doc: str, name: str) -> list[str]:
    """Return the names in a section of a docstring."""
    match = re.search(rf"^{name}[^\n]*:\n(.*?)(?=^\S|\Z)", doc, re.DOTALL | re.MULTILINE)
    return re.findall(r"^ {4}\*{0,2}([\w.]+):", match[1], re.MULTILINE) if match else []


def _arguments(node: Function) -> list[str]:
    declared = node.args
    positional = [*declared.posonlyargs, *declared.args]
    named = [*positional, declared.vararg, *declared.kwonlyargs, declared.kwarg]
    return [each.arg for each in named if each is not None and each.arg not in ("self", "cls")]


def test_docstrings() -> None:
    """The docstrings of every module have the form of the house, and name only arguments and errors that exist."""
    problems = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in MODULES
        for fault in faults(path.read_text(), classes(), has_options=PACKAGE / "cli" in path.parents)
    ]

    assert [] == problems


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('"""What a job is."""', "the module"),
        ('"""Returns a job."""', "the module"),
        ('"""Jobs"""', "the module"),
        ('"""Jobs."""\ndef f(): "Tell the state."', "f: 'Tell' is not a standard verb"),
        (
            '"""Jobs."""\ndef f(a, *, b):\n "X.\\n\\nArgs:\\n    a: A."',
            "f: documents the arguments ['a'], not ['a', 'b']",
        ),
        (
            '"""Jobs."""\ndef f(a, b):\n "X.\\n\\nArgs:\\n    b: B.\\n    a: A."',
            "f: documents the arguments ['b', 'a']",
        ),
        ('"""Jobs."""\ndef f(a):\n "X.\\n\\nArgs:\\n    c: C."', "f: documents the arguments ['c'], not ['a']"),
        ('"""Jobs."""\ndef f():\n "X.\\n\\nRaises:\\n    JobError: If."', "f: raises JobError, which does not exist"),
        ('"""Jobs."""\nclass A:\n "X.\\n\\nRaises:\\n    JobError: If."', "A: raises JobError, which does not exist"),
    ],
)
def test_a_fault_is_found(source: str, fault: str) -> None:
    """Each rule finds its fault, and no other."""
    [reported] = faults(source)

    assert reported.startswith(fault)


def test_a_good_module_has_no_fault() -> None:
    """Errors may be built in, imported or defined in the module or the package."""
    source = '''"""Jobs of a batch."""
from x import A
class B(Exception): "An error."
def f(a, *args, b=1, **options):
    """Return a job.

    Args:
        a: A.
        args: More.
        b: B.
        options: Others.

    Raises:
        A: If imported.
        B: If defined.
        C: If known.
        OSError: If built in.
    """
'''

    assert [] == [*faults(source, {"C"})]


def test_public_classes_document_their_arguments() -> None:
    """A docstring that lists arguments lists those of the constructor, in their order."""
    documented = {owner: section(inspect.getdoc(owner) or "", "Args") for owner in PUBLIC}
    different = [
        owner.__qualname__
        for owner, names in documented.items()
        if names and names != [*inspect.signature(owner).parameters]
    ]

    assert [] == different


def test_public_methods_have_docstrings() -> None:
    """Each public method and property of a public class has a docstring."""
    methods = (staticmethod, classmethod, property, FunctionType)
    missing = [
        f"{owner.__qualname__}.{name}"
        for owner in PUBLIC
        for name, value in vars(owner).items()
        if name[0] != "_" and isinstance(value, methods) and not inspect.getdoc(getattr(owner, name))
    ]

    assert [] == missing
