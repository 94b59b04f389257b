"""Limit of one account, shared by processes and hosts through Redis. Needs the extra `redis`."""

from __future__ import annotations

from ideogram_async.integrations.redis.limiter import RedisLimiter

__all__ = ["RedisLimiter"]
