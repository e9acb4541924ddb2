"""The Lua scripts and the reference model: the same calls, the same answers, the same records."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest
from redis import Redis
from tests.integration.engine_model.differential import Clock, alike, apply, differences
from tests.integration.store.dump import dump
from tests.reference.calls import Calls
from tests.reference.model import Model

from nepiq.controller.engine.store.store import RunStore
from nepiq.controller.engine.store.timing import Timing

#: Real time passes here, so leases and horizons are short.
_QUICK = Timing(lease=0.08, grace=0.01, horizon=0.2, limit=3)
_NAPS = (0.001, 0.005, 0.02)


def compare(redis: Redis, seed: int, calls: int) -> None:
    """Run one random sequence of calls on both, some of them twice in a row."""
    rng = random.Random(seed)
    timing = replace(_QUICK, max_lost=2 + 2 * (seed % 2))
    clock = Clock()
    model, store = Model(clock, timing), RunStore(redis, f"run{seed}", timing)
    model.server = redis.info("server")["run_id"]
    draw = Calls(rng, model)
    for number in range(calls):
        call = draw.next()
        for time_around in range(2 if rng.random() < 0.15 else 1):
            found, expected = apply(store, model, clock, call)
            where = f"seed {seed}, call {number} (execution {time_around + 1}): {call}"
            assert alike(found, expected), f"{where}\nLua   {found}\nmodel {expected}"
            differing = differences(dump(redis, store.keys.prefix), model.dump())
            assert not differing, "\n".join([where, *differing])
        if rng.random() < 0.1:
            time.sleep(rng.choice(_NAPS))


@pytest.mark.parametrize("seed", range(16))
def test_same_answers_and_records(redis_client: Redis, seed: int) -> None:
    compare(redis_client, seed, calls=120)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1400))
def test_same_answers_and_records_for_long(redis_client: Redis, seed: int) -> None:
    compare(redis_client, seed, calls=400)
