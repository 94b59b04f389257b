"""Images from their links to the disk: streamed, checked, whole or not at all."""

from __future__ import annotations
