"""From a request to its answer: the layers put together, over the sessions of the running loop."""

from __future__ import annotations
