"""How a call gets its answer: `retrying(limited(http))`, every layer of one shape."""

from __future__ import annotations
