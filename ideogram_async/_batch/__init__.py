"""Batches: jobs, their journal, and the results in a folder."""

from __future__ import annotations
