"""What is forgotten in time, so that nothing grows for ever."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from tests.stand import Stand

from nepiq.controller.engine.installation import Observer
from nepiq.controller.engine.messaging import queues
from nepiq.controller.engine.store import keys
from nepiq.workers.runtime.context import Runtime
from nepiq.workers.upkeep.sweeper import Sweeper

pytestmark = pytest.mark.needs("redis-server")

DAY = 86400.0


@pytest.fixture
def runtime(stand: Stand) -> Iterator[Runtime]:
    made = Runtime(stand.settings, "here@here", [queues.COMMON])
    yield made
    made.close()


def pretend(runtime: Runtime, name: str, ago: float, *served: str) -> None:
    """Leave what a worker has left that gave its last sign of life some seconds ago."""
    seen = time.time() - ago
    told = {"machine": name, "queues": list(served), "pid": 1, "version": "0"}
    runtime.redis.hset(keys.WORKERS, name, json.dumps(told))
    runtime.redis.zadd(keys.BEATS, {name: seen})
    runtime.redis.zadd(keys.MACHINES, {name: seen})
    runtime.redis.hset(keys.DRAIN, name, "1")


def test_workers_that_have_been_gone_for_a_day(runtime: Runtime) -> None:
    pretend(runtime, "old", DAY + 60)
    pretend(runtime, "new", DAY - 60)
    Sweeper(runtime).sweep()
    assert [info.name for info in runtime.backend.workers()] == ["new"]
    redis = runtime.redis
    assert redis.hkeys(keys.WORKERS) == redis.hkeys(keys.DRAIN) == [b"new"]
    assert redis.zrange(keys.BEATS, 0, -1) == redis.zrange(keys.MACHINES, 0, -1) == [b"new"]


def test_queues_of_machines_that_have_gone(stand: Stand, runtime: Runtime) -> None:
    kept, gone, full = (queues.of_machine(name) for name in ("kept", "gone", "full"))
    site = queues.of_site("lab")
    pretend(runtime, "a", 0, kept)
    pretend(runtime, "b", 0, gone, full, site)
    runtime.backend.broker.lpush(queues.PREFIX + full, "message")
    observer = Observer(stand.settings)
    try:
        assert set(observer.look().queues) == {queues.COMMON, site, kept, gone, full}
        runtime.redis.hdel(keys.WORKERS, "b")
        assert observer.look().queues == {queues.COMMON: 0, site: 0, kept: 0, full: 1}
    finally:
        observer.close()


def test_how_long_a_machine_is_missing_counts_while_a_run_needs_it(
    stand: Stand, runtime: Runtime
) -> None:
    sweeper, redis = Sweeper(runtime), runtime.redis
    pretend(runtime, "m", 0, queues.COMMON, queues.of_site("default"), queues.of_machine("m"))
    ec = stand.experiment("bound")
    ec.register_resource("linux::Node", hostname="localhost")
    ec.deploy(wait_all_ready=False)
    ec.detach()
    meta = keys.RunKeys(ec.run_id).of("meta")
    redis.set(meta, json.dumps({**json.loads(redis.get(meta) or b""), "bind.default": "m"}))
    redis.zrem(keys.MACHINES, "m")
    sweeper.sweep()
    assert set(sweeper._missing) == {"m"}
    redis.srem(keys.active(runtime.settings.broker_name), ec.run_id)
    sweeper.sweep()
    assert not sweeper._missing
