"""Journal of a batch: an SQLite database that records every job and its outcome."""

from __future__ import annotations
