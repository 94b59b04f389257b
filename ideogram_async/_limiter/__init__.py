"""The account's limit: images in progress, a line of calls that wait, and what a 429 teaches."""

from __future__ import annotations
