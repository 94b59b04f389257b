"""What `batch run` is asked for. Loads nothing: its help needs it, too."""

from __future__ import annotations

from typing import Annotated

from attrs import frozen
from cyclopts import Parameter

__all__ = ["Asked", "Switch"]

Switch = Parameter(negative=(), show_default=False)


@Parameter(name="*")
@frozen(kw_only=True)
class Asked:
    """The options that are those of `client.batch`."""

    max_cost_usd: Annotated[str | None, Parameter(show_default=False)] = None
    """The most that may be spent, in USD, such as 5.00. Earlier runs into the folder count, and what is in doubt. No
    limit if not given."""
    retry_ambiguous: Annotated[bool, Switch] = False
    """Send jobs once more that may have run. That can pay twice."""
    names: Annotated[str | None, Parameter(show_default=False)] = None
    """How files are called; `{id}-{index}` if not given. There are also {key}, {number}, {prompt} and {seed}."""
    ordered: Annotated[bool, Switch] = False
    """Tell results in the order of the input, not as they are ready."""
    sidecars: Annotated[bool, Switch] = False
    """Write a JSON file beside each image: request, seed, price, sha256."""
    max_downloads: int = 16
    """Images that are downloaded at once."""
