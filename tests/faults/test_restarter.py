"""``nepiq worker`` starts its Celery process again when that dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation, Process
from tests.stand import Stand, until

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(120)]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with Stand(tmp_path) as made:
        yield made


def begin(stand: Stand, **environment: str) -> Process:
    user = stand.owned(Installation(stand.folder / "user", **stand.environment))
    return user.begin("worker", "--name", "w", **environment)


def pid(stand: Stand, other: int = 0) -> int:
    """The process that serves, once it is another one."""

    def found() -> list[int]:
        return [w.pid for w in stand.backend().workers() if w.alive and w.pid not in (other, 0)]

    until(found, 30.0, "no worker")
    return found()[0]


def works(stand: Stand) -> None:
    with stand.experiment() as ec:
        ec.register_resource("nepiq::Null")
        ec.deploy()
        assert ec.wait_started(timeout="30s")


def test_it_is_started_again_after_a_kill_and_after_an_absence_of_redis(stand: Stand) -> None:
    worker = begin(stand)
    try:
        first = pid(stand)
        works(stand)
        os.kill(first, signal.SIGKILL)
        pid(stand, first)
        works(stand)
        assert "the worker ended (SIGKILL); restarting it" in worker.err.read_text()
        stand.stop_redis(signal.SIGKILL)
        time.sleep(float(os.environ.get("NEPIQ_TEST_OUTAGE", "2")))  # it is this long away
        back = time.monotonic()
        stand.start_redis()
        works(stand)
        print(f"\nserves {time.monotonic() - back:.1f} s after Redis came back")
    finally:
        worker.signal(signal.SIGTERM)
        done = worker.ended(20.0)
    assert done.code == 0
    assert stand.backend().workers() == []


def test_it_ends_with_its_restarter(stand: Stand) -> None:
    worker = begin(stand)
    serving = pid(stand)
    worker.signal(signal.SIGKILL)
    worker.ended()
    until(lambda: not Path(f"/proc/{serving}").exists(), 20.0, "Celery goes on")


def test_what_cannot_begin_is_not_tried_again(stand: Stand) -> None:
    done = begin(stand, NEPIQ_IMPORTS="no_such_module").ended(20.0)
    assert done.code == 1
    assert "no_such_module" in done.err
    assert "restarting" not in done.err
    user = stand.owned(Installation(stand.folder / "user", **stand.environment))
    assert user.nepiq("worker", "--", "--no-such-option").code == 2
    assert user.nepiq("worker", NEPIQ_CLOCK_LIMIT="-1").code == 3
