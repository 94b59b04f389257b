"""Between values and bytes, without a socket: request to call, reply to answer or error."""

from __future__ import annotations
