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
        if not _is_lost(error):
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


def _is_lost(error: Exception) -> bool:
    redis = sys.modules.get("redis")  # without it the error is another one
    return redis is not None and isinstance(error, (redis.ConnectionError, redis.TimeoutError))
