"""The command line: every operation, batches, and a look around. Needs the extra `cli`."""

from __future__ import annotations
