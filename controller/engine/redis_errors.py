"""Redis' own connection errors, as the rest of the controller knows them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import RedisUnreachable


@contextmanager
def contact() -> Iterator[None]:
    """Turn a connection that stays lost into RedisUnreachable; also usable as a decorator.

    Each call has been tried again for some seconds by then (see :func:`.stack.connect`).

    Raises:
        RedisUnreachable: Redis does not answer any more, or refuses what was asked.
    """
    try:
        yield
    except Exception as error:
        hint = refusal(error)
        if hint:
            raise RedisUnreachable(f"Redis refuses: {error}", hint=hint) from error
        if not isinstance(error, tuple(_lost())):
            raise
        raise RedisUnreachable(
            f"Redis does not answer any more: {error}",
            hint="the run goes on by itself once Redis is back; attach to it then",
        ) from error


def refusal(error: Exception) -> str:
    """What to do where Redis answers but does not do what is asked; empty for other errors."""
    redis = sys.modules.get("redis.exceptions")
    if redis is None or not isinstance(error, redis.ResponseError):
        return ""
    told = str(error)
    if isinstance(error, redis.NoPermissionError) or "no permissions" in told:
        return (
            "give the user of NEPIQ_STATE_URL and NEPIQ_BROKER_URL the rights of docs/security.md"
        )
    if isinstance(error, redis.ReadOnlyError):
        return "NEPIQ_STATE_URL and NEPIQ_BROKER_URL must name the primary, not a replica"
    if isinstance(error, redis.OutOfMemoryError) or "OOM command not allowed" in told:
        return "nepiq forget RUN makes room; or give Redis more memory (maxmemory)"
    if "MISCONF" in told:
        return "Redis cannot write its file: look at its log and for room on its disk"
    return ""


def _lost() -> Iterator[type[Exception]]:
    """The errors of lost connections; only what has been imported can have raised any."""
    redis, kombu = sys.modules.get("redis"), sys.modules.get("kombu.exceptions")
    if redis is not None:
        yield from (redis.ConnectionError, redis.TimeoutError)
    if kombu is not None:
        yield kombu.OperationalError
