"""One account's limit, shared by processes and hosts through Redis. It needs the extra `redis`."""

from __future__ import annotations

from ideogram_async.integrations.redis.limiter import RedisLimiter

__all__ = ["RedisLimiter"]
