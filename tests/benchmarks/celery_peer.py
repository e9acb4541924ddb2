"""Bare Celery: the least that a queue on Redis can cost.

A start is one task, or one of fifty in a message, and one Lua call which records it. There are
no states, gates, claims or leases; what it takes is a lower bound for an engine on Celery.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from celery import Celery
from redis import Redis

from . import work as bodies
from .measure import Samples

BROKER = "NEPIQ_BENCH_PEER_BROKER_URL"
STATE = "NEPIQ_BENCH_PEER_STATE_URL"
WAIT_SECONDS = 120

app = Celery("peer", broker=os.environ.get(BROKER), set_as_current=False)
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_default_queue="peer",
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)

# KEYS: the stamps of a run, its bell. ARGV: how many starts the run has, then index and stamps.
RECORD = """
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if redis.call('HLEN', KEYS[1]) == tonumber(ARGV[1]) then redis.call('RPUSH', KEYS[2], 1) end
"""


@lru_cache(maxsize=1)
def _redis() -> Redis:
    return Redis.from_url(os.environ[STATE], decode_responses=True)


@lru_cache(maxsize=1)
def _record() -> Any:
    return _redis().register_script(RECORD)


def _perform(run: str, items: Sequence[int], total: int, work: str) -> None:
    stamps: list[str | int] = []
    for item in items:
        entered = time.time()
        bodies.perform(work)
        stamps += [item, f"{entered!r} {time.time()!r}"]
    _record()(keys=[run, f"{run}:done"], args=[total, *stamps])


@app.task(name="peer.start")
def start(run: str, items: list[int], total: int, work: str) -> None:
    """Perform some of the starts of a run."""
    _perform(run, items, total, work)


@app.task(name="peer.hop")
def hop(run: str, item: int, total: int, work: str) -> None:
    """Perform one start of a chain and send the next."""
    _perform(run, [item], total, work)
    if item + 1 < total:
        hop.apply_async((run, item + 1, total, work))


@app.task(name="peer.join")
def join(run: str, item: int, total: int) -> None:
    """Perform one start of many; the last to end sends the one that waits for all."""
    _perform(run, [item], total, bodies.NOTHING)
    if _redis().incr(f"{run}:joined") == total - 1:
        start.apply_async((run, [total - 1], total, bodies.NOTHING))


def _new_run() -> str:
    return f"peer:{secrets.token_hex(6)}"


def _stamps(run: str) -> bodies.Stamps:
    """Wait until every start of the run is recorded, and return when they were."""
    if _redis().blpop([f"{run}:done"], timeout=WAIT_SECONDS) is None:
        raise TimeoutError(f"{_redis().hlen(run)} starts after {WAIT_SECONDS} s")
    stamps = {}
    for item, times in _redis().hgetall(run).items():
        entered, left = times.split()
        stamps[int(item)] = (float(entered), float(left))
    _redis().delete(run, f"{run}:joined")
    return stamps


def fan_out(count: int, work: str = bodies.NOTHING, batch: int = 1) -> Samples:
    """From the first message to the notice that all have started."""
    run = _new_run()
    began = time.perf_counter()
    for first in range(0, count, batch):
        items = list(range(first, min(first + batch, count)))
        start.apply_async((run, items, count, work))
    _redis().blpop([f"{run}:done"], timeout=WAIT_SECONDS)
    took = time.perf_counter() - began
    if (started := _redis().hlen(run)) != count:
        raise TimeoutError(f"{started} of {count} starts after {WAIT_SECONDS} s")
    _redis().delete(run)
    return [took]


def chain(length: int, work: str = bodies.NOTHING) -> Samples:
    """The hops of a chain in which each task sends the next."""
    run = _new_run()
    hop.apply_async((run, 0, length, work))
    return bodies.hops(_stamps(run))


def commands(length: int) -> Samples:
    """The periods of a chain in which each start runs a shell command in a local process."""
    run = _new_run()
    hop.apply_async((run, 0, length, bodies.SHELL))
    return bodies.periods(_stamps(run))


def fan_in(count: int) -> Samples:
    """From the end of the last of many to the start that waits for all of them."""
    run = _new_run()
    for item in range(count):
        join.apply_async((run, item, count + 1))
    return [bodies.joined(_stamps(run))]


def due_together(count: int, lead: float) -> Samples:
    """How late the last of many starts is that are due at one instant."""
    run = _new_run()
    due = datetime.now(timezone.utc) + timedelta(seconds=lead)
    for item in range(count):
        start.apply_async((run, [item], count, bodies.NOTHING), eta=due)
    return [max(entered for entered, _ in _stamps(run).values()) - due.timestamp()]


FIRST_SEND = f"""
import time
began = time.perf_counter()
import os
from celery import Celery
app = Celery("peer", broker=os.environ["{BROKER}"])
app.conf.task_ignore_result = True
app.send_task("peer.start", ("peer:first", [0], 0, ""), queue="peer")
print(time.perf_counter() - began)
"""


def first_send() -> Samples:
    """Importing Celery and sending one task, in a fresh interpreter."""
    command = [sys.executable, "-c", FIRST_SEND]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(done.stdout)]
