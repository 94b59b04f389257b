"""The acceptance of a generation."""

from attrs import field, frozen

POLL_PATH = "/v2/generations/"
"""Path of a generation without its id."""


@frozen
class Accepted:
    """A generation that the service has accepted, as `client.submit` returns it. `str()` is its id.

    A value: it can be stored, pickled and sent elsewhere, and `client.generations.wait` accepts it in any process.
    """

    generation_id: str
    weight: int = 1
    """Images in progress."""
    poll: str = field(default=POLL_PATH, repr=False)
    """Path of the generation without its id."""
    raw: bytes = field(default=b"{}", repr=False)
    """The acknowledgement: fields in it, such as the seed, are not repeated later."""

    def __str__(self) -> str:
        return self.generation_id
