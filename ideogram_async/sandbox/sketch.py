"""An image that was made, as the recipe to draw it."""

from __future__ import annotations

from attrs import field, frozen

from ideogram_async.sandbox.sizes import Size

__all__ = ["Sketch"]


@frozen
class Sketch:
    """All that the drawing of an image depends on.

    A box keeps recipes and draws on demand, so that thousands of images take little memory.
    """

    verb: str
    """What was done, such as `generate` or `remix`."""
    prompt: str
    seed: int
    size: Size
    source: bytes | Sketch | None = field(default=None, repr=False)
    """The input image: uploaded, or made earlier by the same box."""
    mask: bytes | None = field(default=None, repr=False)
    is_transparent: bool = False
