"""The library at home in other people's houses: each module wants the extra of its name."""

from __future__ import annotations
