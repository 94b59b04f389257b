"""Download of images: streamed, verified, stored atomically."""

from __future__ import annotations
