"""The connections that threads of one process have with Redis."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.integration.conftest import RedisServer

from nepiq.controller.engine.redis_connection import connect

THREADS = 150


def test_as_many_as_there_are_threads(redis_server: RedisServer) -> None:
    """redis-py allows 100 by default, and a worker that ends a crowd has more threads."""
    redis = connect(redis_server.url)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(lambda _: redis.blpop(["nothing"], timeout=1), range(THREADS)))
    finally:
        redis.close()
    assert found == [None] * THREADS
