"""``python -m tests.faults.recovery``: how soon all goes on after a worker or Redis was lost."""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.histories import kinds
from tests.stand import Stand, Worker, until

from nepiq.controller import ExperimentController

_AWAY = (5.0, 40.0)
"""Seconds that Redis is away."""


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often (5)")
    rounds = parser.parse_args().rounds
    rows = {
        "worker killed → its step runs elsewhere": [_worker_killed() for _ in range(rounds)],
    }
    for away in _AWAY:
        name = f"Redis back after {away:g} s → first step that was due"
        rows[name] = [_redis_back(away) for _ in range(rounds)]
    print("| what | median | longest |\n|---|---|---|")
    for name, seconds in rows.items():
        print(f"| {name} | {statistics.median(seconds):.1f} s | {max(seconds):.1f} s |")
    return 0


@contextmanager
def _under_way(**more: object) -> Iterator[tuple[Stand, ExperimentController, int, Path]]:
    """A run on two workers with a start that is due two seconds after the first one ended."""
    with tempfile.TemporaryDirectory(prefix="nepiq-recovery-") as name:
        folder = Path(name)
        witness = folder / "witness"
        with Stand(folder, NEPIQ_IMPORTS=kinds.__name__) as stand:
            stand.start_worker()
            stand.start_worker()
            ec = stand.experiment("recovery", quiet=True)
            part = {"rtype": "histories::Work", "ends": True, "witness": str(witness)}
            first = ec.register_resource(**part)
            late = ec.register_resource(**part, **more)
            ec.register_condition(late, "START", first, "FINISHED", "2s")
            ec.deploy()
            assert ec.wait_finished(first, timeout=30)
            yield stand, ec, late, witness
            ec.shutdown()


def _began(witness: Path, guid: int) -> list[float]:
    """When the start of a resource began."""
    lines = [line.split() for line in witness.read_text().splitlines()]
    return [
        float(line[-1])
        for line in lines
        if line[0] == str(guid) and "begin" in line and line[1] == "start"
    ]


def _holder(stand: Stand, run_id: str, guid: int) -> Worker:
    """The worker that executes the start of a resource."""
    (step,) = stand.backend().run(run_id).store._steps([f"{guid}.start"])
    return next(worker for worker in stand.workers if worker.name == step.worker.split("@")[0])


def _worker_killed() -> float:
    with _under_way(work=3.0) as (stand, ec, late, witness):
        until(lambda: _began(witness, late), 20.0, "it did not start")
        killed = time.time()
        _holder(stand, ec.run_id, late).signal(signal.SIGKILL)
        until(lambda: len(_began(witness, late)) > 1, 60.0, "it did not start again")
        return _began(witness, late)[1] - killed


def _redis_back(away: float) -> float:
    with _under_way() as (stand, _, late, witness):
        time.sleep(1.1)  # so that it is in the log that is written down each second
        stand.stop_redis(signal.SIGKILL)
        stand.socket.unlink(missing_ok=True)
        time.sleep(away)  # Redis is this long away
        stand.start_redis()
        back = time.time()
        until(lambda: _began(witness, late), 60.0, "it did not start")
        return _began(witness, late)[0] - back


if __name__ == "__main__":
    sys.exit(main())
