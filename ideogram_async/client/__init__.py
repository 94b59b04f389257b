"""The client: the class that people import. Everything here is wiring and names."""

from __future__ import annotations

from ideogram_async.client.ideogram import SERVICE, Ideogram

__all__ = ["SERVICE", "Ideogram"]
