"""Rendering of answers: one image per line, or field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import time
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

from rich.text import Text

from ideogram_async import Price
from ideogram_async._accepted import Accepted
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd
from ideogram_async.cli.console import console, escape, to_json_fields
from ideogram_async.models.images import ImageAnswer, LayerImage
from ideogram_async.v2.account import GetAccountUsageResponse
from ideogram_async.v2.answers import Generation, Quote, UnknownItem

WITHHELD = "withheld as unsafe, but billed"


def print_answer(answer: object, paths: Sequence[Path | None], price: Price | None) -> None:
    """Print an answer: one image per line, everything else field by field.

    Args:
        answer: The answer.
        paths: The paths of its images; empty if none was stored.
        price: The price to print, if any.
    """
    target = console()
    match answer:
        case ImageAnswer():
            _print_images(answer, paths, price)
        case Accepted():
            # Alone on its line, for scripts.
            target.print(Text(escape(answer)), soft_wrap=True)
            if target.is_terminal and price is not None:
                target.print(Text(f"  to save its images: ideogram-async wait {escape(answer)}", "dim"), soft_wrap=True)
        case Quote():
            is_exact = "" if answer.exact else f", at most {format_usd(answer.worst_usd)}"
            target.print(Text.assemble((format_usd(answer.usd), "bold"), is_exact))
            target.print(Text(f"  {pluralize(answer.quantity, 'unit')} of {escape(answer.billing_identifier)}", "dim"))
        case GetAccountUsageResponse():
            _print_usage(answer)
        case _:
            _print_fields(answer)


def to_json_answer(answer: object) -> dict[str, object]:
    """Return the fields of an answer for JSON; of an acceptance, its id and its weight."""
    if isinstance(answer, Accepted):
        return {"generation_id": answer.generation_id, "weight": answer.weight}

    return to_json_fields(answer)


def _print_usage(usage: GetAccountUsageResponse) -> None:
    """Print a line for each product of a bucket; empty buckets are left out."""
    totals: dict[str, Decimal] = {}
    is_hourly = any(bucket.start_time.time() != time() for bucket in usage)
    for bucket in usage:
        start = bucket.start_time.isoformat(" ", "minutes")[: 16 if is_hourly else 10]
        for item in bucket.line_items:
            totals[item.currency_code] = totals.get(item.currency_code, Decimal(0)) + item.cost_total
            units = item.billed_units
            count = (
                "" if units is None else f"{units.quantity:f} {escape(units.unit)}{'' if units.quantity == 1 else 's'}"
            )
            cost = f"{item.cost_total:>10f} {escape(item.currency_code)}"
            line = Text.assemble((f"{start}  ", "dim"), (cost, "bold"), f"  {count:<12}", (escape(item.product), "dim"))
            console().print(line, soft_wrap=True)

    total = " and ".join(f"{cost:f} {escape(code)}" for code, cost in totals.items())
    console().print(Text(f"  {total} in total" if totals else "  nothing was billed", "dim"))


def _print_fields(answer: object) -> None:
    fields = to_json_fields(answer)
    prompt = fields.pop("json_prompt", None)
    for line in _field_lines(fields):
        console().print(Text(escape(line)))

    if prompt is not None:
        # As JSON, to be edited and sent as it is.
        for line in json.dumps(prompt, indent=2, ensure_ascii=False).splitlines():
            console().print(Text(escape(line)), soft_wrap=True)


def _print_images(answer: ImageAnswer, paths: Sequence[Path | None], price: Price | None) -> None:
    target = console()
    images = list(_links_and_facts(answer))
    for index, (link, facts) in enumerate(images):
        path = paths[index] if index < len(paths) else None
        target.print(_image_line(index, link, path, facts, is_stored=bool(paths)), soft_wrap=True)

    if isinstance(answer, Generation):
        for item in answer:
            if isinstance(item, UnknownItem):
                link = item.raw.get("url")
                target.print(
                    Text(f"• not saved: {escape(item.object_type)}  {escape(link or '')}", "yellow"), soft_wrap=True
                )

    if price is not None:
        # What a request of the second contract leaves open is in the price with its highest value, as in a quote.
        worst = "at most " if isinstance(answer, Generation) else ""
        cost = "; unknown price" if price.usd is None else f" for {worst}{format_usd(price.usd)}"
        has_links = any(link is not None and path is None for (link, _), path in zip_longest(images, paths))
        expiry = "; links expire within 24 hours" if has_links else ""
        target.print(Text(f"  {pluralize(len(images), 'image')}{cost}{expiry}", "dim"))


def print_paths(paths: Sequence[Path | None]) -> None:
    """Print the paths of images without other details."""
    for index, path in enumerate(paths):
        if path is not None:
            console().print(_image_line(index, str(path), path, "", is_stored=True), soft_wrap=True)


def _links_and_facts(answer: ImageAnswer) -> Iterator[tuple[str | None, str]]:
    for image in answer.images:
        if isinstance(image, LayerImage):
            yield image.url, image.layer
            continue

        size = getattr(image, "upscaled_resolution", None) or getattr(image, "resolution", "")
        seed = getattr(image, "seed", None)
        yield image.url, "  ".join([str(size)] * bool(size) + [f"seed {seed}"] * (seed is not None))


def _image_line(index: int, link: str | None, path: Path | None, facts: str, *, is_stored: bool) -> Text:
    if link is None:
        return Text.assemble((f"✗ {index + 1} ", "yellow"), WITHHELD)

    if path is not None:
        return Text.assemble((f"✓ {index + 1} ", "green"), (escape(path), "bold"), (f"  {escape(facts)}", "dim"))

    # The link of an image that was not stored is the only access to what was billed.
    sign, color = ("✗", "red") if is_stored else ("•", "green")
    return Text.assemble((f"{sign} {index + 1} ", color), escape(link), (f"  {escape(facts)}", "dim"))


def _field_lines(value: object, indent: str = "") -> Iterator[str]:
    match value:
        case Mapping():
            for name, item in value.items():
                yield from _named_lines(str(name), item, indent)
        case list():
            for item in value:
                first, *others = list(_field_lines(item, indent + "  ")) or [f"{indent}  -"]
                yield f"{indent}- {first[len(indent) + 2 :]}"
                yield from others
        case _:
            yield f"{indent}{value}"


def _named_lines(name: str, value: object, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list):
        yield f"{indent}{name}:{'' if value else ' none'}"
        yield from _field_lines(value, indent + "  ")
    elif value is not None:
        yield f"{indent}{name}: {value}"
