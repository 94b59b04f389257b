"""Limit of one account, shared by processes and hosts through Redis. Needs the extra `redis`."""

from __future__ import annotations

from ideogram_async._requirements import needs_extra

with needs_extra(__name__, "redis"):
    from ideogram_async.integrations.redis.limiter import RedisLimiter

__all__ = ["RedisLimiter"]
