"""Integrations. Each module needs the extra of the same name."""

from __future__ import annotations
