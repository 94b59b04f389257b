"""A request for an operation that this library has no class for."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Self, TypeAlias, cast

from attrs import field, frozen

from ideogram_async._operations import Accept, Body, Endpoint
from ideogram_async._scalars import as_index
from ideogram_async.files import ImageFile, ImageSource, as_images
from ideogram_async.requests._rules import Flag, Integer, Rule, field_rule, quote, type_name
from ideogram_async.v2._fields import Drawing, documented
from ideogram_async.v2._rules import FieldFiles, JsonFields, JsonList, JsonObject, as_json_object
from ideogram_async.v2._sources import MAX_SOURCE, FileRule
from ideogram_async.v2._values import one_of
from ideogram_async.v2.answers import Generation

AcceptMode: TypeAlias = Literal["async", "always", "never"]
MODES: Mapping[str, Accept] = {"async": Accept.OPTIONAL, "always": Accept.ALWAYS, "never": Accept.NEVER}


@frozen
class FieldFile(ImageFile):
    """A file with the field that it is sent in."""

    field_name: str = field(default="", kw_only=True)

    @classmethod
    def in_field(cls, name: str, file: ImageFile) -> Self:
        """Return a file as that of a field."""
        return cls(file.source, name=file.name, content_type=file.content_type, field_name=name)


def as_field_files(value: Mapping[str, ImageSource | Iterable[ImageSource]]) -> Any:
    """Convert files by field to a tuple that knows the fields."""
    if not isinstance(value, Mapping):
        return value

    return tuple(
        FieldFile.in_field(str(name), file)
        for name, files in value.items()
        for file in as_images(cast("Iterable[ImageSource]", files))
    )


@frozen(eq=False, repr=False)
class Segment(Rule[str]):
    """A segment of a path."""

    def type_error(self, value: object) -> str | None:
        if not isinstance(value, str):
            return f"must be a string, not {type_name(value)}"

        # Never skipped: a path must not lead to another one.
        is_segment = re.fullmatch(r"[a-z0-9][a-z0-9.-]*", value)
        return (
            None if is_segment else f"must have lower-case letters, digits, dots and hyphens only, not {quote(value)}"
        )


class _CustomEndpoint:
    """The endpoint of a custom request, made from its fields; that of the class states what it may have."""

    def __get__(self, request: "Custom | None", owner: type) -> Endpoint:
        if request is None:
            return Endpoint(
                "POST",
                "/{version}/{content}/{action}/{model}",
                Body.AUTO,
                Generation,
                accept=Accept.OPTIONAL,
                has_webhook=True,
                has_quote=True,
            )

        return Endpoint(
            "POST",
            f"/{request.version}/{request.content}/{request.action}/{request.model}",
            Body.AUTO,
            Generation,
            accept=MODES.get(request.accept, Accept.NEVER),
            has_webhook=MODES.get(request.accept) is not Accept.NEVER,
            has_quote=request.quote is True,
        )


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Custom(Drawing):
    """Call an operation that this library has no class for, at `/{version}/{content}/{action}/{model}`.

        v2.Custom("image", "replace-background", "ideogram-4-5", {"prompt": "a beach"}, files={"image": "a.png"},
                  accept="always")

    Fields are sent as they are: as JSON without files, as a form with them. `private` is not added, and its price is
    unknown.
    """

    endpoint: ClassVar[Any] = _CustomEndpoint()
    mode_fields: ClassVar[tuple[str, ...]] = ("accept", "quote", "weight")

    content: str = field(metadata=field_rule(Segment(), doc="Second segment of the path: image or design."))
    action: str = field(metadata=field_rule(Segment(), doc="The action, such as generate."))
    model: str = field(metadata=field_rule(Segment(), doc="The model, such as ideogram-4-5."))
    fields: Mapping[str, object] = field(
        factory=JsonFields, converter=as_json_object, metadata=field_rule(JsonObject(), doc="The fields.")
    )
    files: Mapping[str, ImageSource | Iterable[ImageSource]] = field(
        factory=dict,
        kw_only=True,
        converter=as_field_files,
        metadata=field_rule(
            FieldFiles(each=FileRule(max_bytes=MAX_SOURCE, any_format=True)),
            doc="Files by field, one or several for each.",
        ),
    )
    accept: AcceptMode = field(
        default="async",
        kw_only=True,
        metadata=field_rule(
            one_of("accept", AcceptMode),
            doc="Whether the service accepts it first: async (default) if it is asked to, always or never.",
        ),
    )
    weight: int = field(
        default=1,
        kw_only=True,
        converter=as_index,
        metadata=field_rule(Integer(1, 100), doc="Images in progress; default 1."),
    )
    quote: bool = field(
        default=False,
        kw_only=True,
        metadata=field_rule(Flag(), doc="Whether it has quotes. If it has none, asking for one may run and bill it."),
    )
    version: str = field(
        default="v2", kw_only=True, metadata=field_rule(Segment(), doc="First segment of the path; default v2.")
    )

    def sent_fields(self) -> Iterator[tuple[str, object]]:
        """Yield the fields and files that are sent."""
        for name, value in self.fields.items():
            is_json = isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value)
            yield name, JsonList(value) if is_json else value  # type: ignore[arg-type]

        named: dict[str, tuple[ImageFile, ...]] = {}
        for file in self.files:
            if isinstance(file, FieldFile):
                named[file.field_name] = (*named.get(file.field_name, ()), file)

        yield from named.items()

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        for name in ("async", "webhook_url", "dry_run"):
            if isinstance(self.fields, JsonFields) and name in self.fields:
                yield "fields", f"contains {name!r}; use client.submit or client.quote"
