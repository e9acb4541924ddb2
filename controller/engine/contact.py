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
        RedisUnreachable: Redis does not answer any more.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, tuple(_lost())):
            raise
        raise RedisUnreachable(
            f"Redis does not answer any more: {error}",
            hint="the run goes on by itself once Redis is back; attach to it then",
        ) from error


def _lost() -> Iterator[type[Exception]]:
    """The errors of lost connections; only what has been imported can have raised any."""
    redis, kombu = sys.modules.get("redis"), sys.modules.get("kombu.exceptions")
    if redis is not None:
        yield from (redis.ConnectionError, redis.TimeoutError)
    if kombu is not None:
        yield kombu.OperationalError
