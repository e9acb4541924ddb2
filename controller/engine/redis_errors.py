"""Translation of Redis' errors into nepiq's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import RedisUnreachable


@contextmanager
def contact() -> Iterator[None]:
    """Translate lost connections and refused commands; also usable as a decorator.

    Each command has been retried for some seconds before (see :func:`.redis_connection.connect`).

    Raises:
        RedisUnreachable: Redis does not answer any more, or refuses a command.
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
            hint="attach to the run when Redis is back; it continues by itself",
        ) from error


def refusal(error: Exception) -> str:
    """Return the hint for a command that Redis refused; empty for other errors."""
    redis = sys.modules.get("redis.exceptions")
    if redis is None or not isinstance(error, redis.ResponseError):
        return ""
    message = str(error)
    if isinstance(error, redis.NoPermissionError) or "no permissions" in message:
        return (
            "give the user of NEPIQ_STATE_URL and NEPIQ_BROKER_URL the rights of docs/security.md"
        )
    if isinstance(error, redis.ReadOnlyError):
        return "NEPIQ_STATE_URL and NEPIQ_BROKER_URL must name the primary, not a replica"
    if isinstance(error, redis.OutOfMemoryError) or "OOM command not allowed" in message:
        return "free memory with nepiq forget RUN or --contents, or give Redis more (maxmemory)"
    if "MISCONF" in message:
        return "Redis cannot write its file: check its log and the space on its disk"
    return ""


def _lost() -> Iterator[type[Exception]]:
    """Yield the error types of lost connections, of imported modules only."""
    redis, kombu = sys.modules.get("redis"), sys.modules.get("kombu.exceptions")
    if redis is not None:
        yield from (redis.ConnectionError, redis.TimeoutError)
    if kombu is not None:
        yield kombu.OperationalError
