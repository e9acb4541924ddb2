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
        # A description needs no Redis: only what has been imported can have raised.
        redis = sys.modules.get("redis")
        if redis is None or not isinstance(error, (redis.ConnectionError, redis.TimeoutError)):
            raise
        raise RedisUnreachable(
            f"Redis does not answer any more: {error}",
            hint="the run goes on by itself once Redis is back; attach to it then",
        ) from error
