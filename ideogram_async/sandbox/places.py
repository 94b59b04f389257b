"""The service's limit: how many images may be in the making at once."""

from __future__ import annotations

__all__ = ["Places"]


class Places:
    """Places for images in progress; a request takes all it needs, or none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self.peak = 0

    def take(self, weight: int) -> bool:
        """Take places, or say that they are not free."""
        if weight and self.taken + weight > self.limit:
            return False

        self.taken += weight
        self.peak = max(self.peak, self.taken)
        return True

    def leave(self, weight: int) -> None:
        """Give places back."""
        self.taken -= weight
