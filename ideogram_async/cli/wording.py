"""The library's own words, as they hold on a command line."""

from __future__ import annotations

import re
from collections.abc import Collection

import ideogram_async.requests
from ideogram_async.cli.unchecked import PREFIX

__all__ = ["told", "worded"]

# What the classes say in words of Python.
ELSEWHERE = {
    "hex strings, pairs of hex and weight, or `ColorPaletteMember`s": "`#FF5733`, or `#FF5733:0.6` with its weight",
    "see `client.estimate`": "see `ideogram-async estimate`",
    "as `CustomModel.custom_model_uri` names it": "as `ideogram-async models list` tells it",
    "`client.models.wait` waits": "`ideogram-async models wait` waits",
    '`"EMBER"`': "`EMBER`",
}
NEWER = re.compile(r"Unchecked\((['\"])(?P<word>.*)\1\)(?=\n|$)", re.MULTILINE)


def told(words: str, fields: Collection[str]) -> str:
    """Say what a class says of itself or of a field: a field is an option here, and another request a command."""
    for there, here in ELSEWHERE.items():
        words = words.replace(there, here)

    return re.sub(r"`(\w+)`", lambda found: f"`{_name(found[1], fields)}`", words)


def worded(rule: str) -> str:
    """Say a rule as it holds here, where nobody can write `Unchecked("BALANCED")`."""
    return NEWER.sub(lambda found: PREFIX + found["word"], rule)


def _name(word: str, fields: Collection[str]) -> str:
    if word in fields:
        return "--" + word.replace("_", "-")

    is_request = word in ideogram_async.requests.__all__
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", word).lower() if is_request else word
