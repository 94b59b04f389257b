"""Extension of griffe: what the source alone does not show, from the package at run time.

Constructors that attrs generates, methods that are made from requests, inherited fields, and links between entries.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from runpy import run_path
from typing import Any

import attrs
from griffe import (
    Alias,
    Attribute,
    Class,
    Docstring,
    Expr,
    ExprName,
    Extension,
    Function,
    Module,
    Object,
    Parameter,
    ParameterKind,
    Parameters,
    safe_get_expression,
)

from ideogram_async._operations import CHARGED, FREE, summary_of
from ideogram_async.errors import IdeogramError

REFERENCE = run_path(str(Path(__file__).with_name("make_reference.py")))
NAMES: list[str] = [name for names in REFERENCE["public_names"]().values() for name in names]
"""The full name of every entry, but for methods."""
METHODS: dict[str, str] = REFERENCE["methods"]()
"""The full name of each method in a group of the client, by the name that users write."""
OPERATIONS: dict[str, Any] = REFERENCE["operations"]()
"""The methods of the client that are made from requests, by their full names."""
SENT_BY = {method.request_class: path for path, method in OPERATIONS.items()}
LINKS: dict[str, str] = REFERENCE["links"]()
CODE = re.compile(r"(?<=\n\n)(?: {4}.*\n(?:\n(?= {4}))?)+", re.MULTILINE)
QUOTED = re.compile(r"(```.*?```)|(?<!\[)`([\w.]+)`(?!\])", re.DOTALL)
VALUES_OF_ENUM = re.compile(r"Literal\[[^]]*\] \| (?!Unchecked)(?=[A-Z])")
"""The values of an enum that a signature names, too."""
KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: ParameterKind.positional_only,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: ParameterKind.positional_or_keyword,
    inspect.Parameter.VAR_POSITIONAL: ParameterKind.var_positional,
    inspect.Parameter.KEYWORD_ONLY: ParameterKind.keyword_only,
    inspect.Parameter.VAR_KEYWORD: ParameterKind.var_keyword,
}


class RunTimeDocs(Extension):
    """Documentation that exists at run time."""

    def on_package(self, *, pkg: Module, **kwargs: Any) -> None:
        """Complete the entries of a package that has been read."""
        for name in NAMES:
            _add_alias(pkg, name)

        classes = [(_object_of(pkg, value), value) for value in map(resolve_name, NAMES) if isinstance(value, type)]
        fields = {item.path: list(_field_docs(pkg, value)) for item, value in classes}
        for item, value in classes:
            _describe_class(item, value, fields[item.path])

        for path, method in OPERATIONS.items():
            _describe_operation(pkg[path.partition(".")[2]], method)

        for path in REFERENCE["MODULES"]:
            pkg[path].docstring.value = (resolve_name(f"{pkg.path}.{path}").__doc__ or "").strip()

        for item in _items(pkg):
            if item.docstring is not None:
                item.docstring.value = _linked(_fenced(item.docstring.value), item)

            if isinstance(item, Function):
                for annotation in (item.returns, *(parameter.annotation for parameter in item.parameters)):
                    _link_names(annotation)


def _object_of(package: Module, value: type) -> Class:
    item: Class = package[f"{value.__module__}.{value.__qualname__}".partition(".")[2]]
    return item


def _add_alias(package: Module, name: str) -> None:
    """Add a name that a module imports from one that imports it itself."""
    path, _, attribute = name.rpartition(".")
    module = package[path.partition(".")[2]] if "." in path else package
    if attribute not in module.members:
        value = resolve_name(name)
        module.set_member(attribute, Alias(attribute, f"{value.__module__}.{value.__qualname__}", parent=module))


def _field_docs(package: Module, value: type) -> Iterator[tuple[str, str | None]]:
    """Yield the fields of a class and their documentation, inherited ones too, but for those of all errors."""
    if attrs.has(value):
        for name in [field.name for field in attrs.fields(value) if not field.name.startswith("_")]:
            owner = next(each for each in value.__mro__ if name in vars(each).get("__annotations__", {}))
            docstring = _object_of(package, owner).members[name].docstring
            yield name, docstring.value if docstring is not None else None
    elif issubclass(value, IdeogramError):
        for owner in value.__mro__[::-1]:
            if owner is value or (issubclass(owner, IdeogramError) and owner is not IdeogramError):
                for name, member in _object_of(package, owner).members.items():
                    if isinstance(member, Attribute) and (owner is IdeogramError or not hasattr(IdeogramError, name)):
                        yield name, member.docstring.value if member.docstring is not None else None


def _describe_class(item: Class, value: type, fields: list[tuple[str, str | None]]) -> None:
    text = inspect.cleandoc(vars(value).get("__doc__") or "")
    entries = "\n".join(f"    {name}: {' '.join((doc or '').split())}" for name, doc in fields)
    if issubclass(value, Enum):
        text = f"{text}\n\n{_values(item, value)}"
    elif issubclass(value, IdeogramError) and value.advice:
        text = f"{text}\n\nAdvice: {value.advice}"

    if "\nArgs:\n" not in text and entries:
        text = f"{text}\n\nAttributes:\n{entries}"
    elif entries:
        _set_constructor(item, value)

    if "\n\nCreated by `" in text:
        item.del_member("__init__")  # The method that creates it has the arguments.

    item.docstring = Docstring(_with_operation(text, value), parent=item, lineno=item.lineno)
    for member in item.members.values():
        # They are in the text now.
        if isinstance(member, Attribute) and "property" not in member.labels:
            member.docstring = None


def _with_operation(text: str, value: type) -> str:
    """Return the documentation of a class with the method that sends it, if it is a request."""
    path = SENT_BY.get(value)
    if path is None:
        return text

    endpoint = OPERATIONS[path].request_class.endpoint
    names = {full: name for name, full in METHODS.items()}
    method = names.get(path) or f"client.{path.rpartition('.')[2]}"
    sent = f"`{method}` sends it: `{endpoint}`, answered by `{endpoint.answer.__name__}`."
    summary, heading, arguments = text.partition("\n\nArgs:\n")
    return f"{summary}\n\n{sent}{heading}{arguments}"


def _values(item: Class, enum: type[Enum]) -> str:
    docs = {name: item.members[name].docstring for name in enum.__members__}
    if not any(docs.values()):
        return "Values: " + ", ".join(f"`{member.value}`" for member in enum) + "."

    lines = [f"- `{name}` (`{enum[name].value!r}`): {' '.join(doc.value.split())}" for name, doc in docs.items() if doc]
    return "\n".join(lines)


def _set_constructor(item: Class, value: type) -> None:
    parameters = _parameters(inspect.signature(value), item)
    item.set_member("__init__", Function("__init__", parameters=parameters, lineno=item.lineno))


def _parameters(signature: inspect.Signature, item: Module | Class) -> Parameters:
    this = Parameter("self", kind=ParameterKind.positional_or_keyword)
    return Parameters(this, *map(partial(_parameter, item=item), signature.parameters.values()))


def _parameter(parameter: inspect.Parameter, item: Module | Class) -> Parameter:
    default = None if parameter.default is parameter.empty else repr(parameter.default)
    if default is not None and default.startswith(("<", "NOTHING", "Factory")):
        default = "..."

    annotation = _annotation(parameter.annotation, item)
    return Parameter(parameter.name, annotation=annotation, kind=KINDS[parameter.kind], default=default)


def _annotation(annotation: Any, item: Module | Class) -> str | Expr | None:
    if annotation is inspect.Parameter.empty:
        return None

    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = VALUES_OF_ENUM.sub("", text)
    return safe_get_expression(ast.parse(text, mode="eval").body, parent=item, parse_strings=False)


def _describe_operation(item: Function, method: Any) -> None:
    """Give a method that is made from a request class its signature, and the documentation of the class."""
    request = method.request_class
    signature = inspect.signature(method)
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    item.parameters = _parameters(signature.replace(parameters=parameters), item.module)
    answer = request.endpoint.answer.__name__
    item.returns = _annotation(answer, item.module)
    item.labels.add("async")
    ending = (CHARGED if request.endpoint.charged else FREE).format(answer=answer)
    fields = f"The arguments are the fields of [`{request.__name__}`][{_entry_of(request)}], which describes them."
    item.docstring = Docstring("\n\n".join([summary_of(request), fields, ending]), parent=item, lineno=item.lineno)


def _entry_of(value: type) -> str:
    return next(name for name in NAMES if resolve_name(name) is value)


def _items(item: Object) -> Iterator[Any]:
    """Yield an item and everything in it."""
    yield item
    for member in item.members.values():
        if isinstance(member, Object):
            yield from _items(member)


def _link_names(annotation: Any) -> None:
    """Let the public names in an annotation stand for their entries, where they do not already."""
    for name in annotation.iterate() if isinstance(annotation, Expr) else ():
        if isinstance(name, ExprName) and name.name in LINKS:
            path = name.canonical_path
            if path == name.name or path.startswith("ideogram_async._types."):
                name.parent = LINKS[name.name].rpartition(".")[0]


def _fenced(text: str) -> str:
    """Return a docstring with fences around its code, so that it is shown as Python."""
    head, *sections = re.split(r"(?m)^(?=(?:Args|Attributes|Raises|Returns):$)", text + "\n")
    return "".join([CODE.sub(_fence, head), *sections]).rstrip()


def _fence(match: re.Match[str]) -> str:
    code = inspect.cleandoc("\n" + match[0])
    return f"```{'text' if '──' in code else 'python'}\n{code}\n```\n"


def _linked(text: str, item: Object) -> str:
    """Return a docstring whose names link to their entries."""

    def link(match: re.Match[str]) -> str:
        target = REFERENCE["target"](match[2]) if match[2] else None
        is_own = target is None or target.rpartition(".")[2] == item.name
        return match[0] if is_own else f"[`{match[2]}`][{target}]"

    return QUOTED.sub(link, text)
