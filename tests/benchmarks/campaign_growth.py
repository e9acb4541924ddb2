"""``python -m tests.benchmarks.campaign_growth``: do runs take longer the more of them there were?

Runs of ``echo`` on this machine, with a metric of its output, by two workers. Each line is a tenth
of them: wall time, processor time of Redis, of workers and of what they have run on the host, and
memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.stand import Stand

from nepiq.controller import Campaign, ExperimentController, Space

from .ns3 import resident
from .ssh_scripts import TICKS

PARALLEL = 8


def used_by(pid: int) -> tuple[float, float]:
    """Processor seconds of a process, and of its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, children = fields[11:13], fields[13:15]
    return sum(map(int, own)) / TICKS, sum(map(int, children)) / TICKS


def describe(ec: ExperimentController) -> None:
    """One application, whose output is the parameter of the run."""
    ec.register_resource("linux::Node", label="here", hostname="localhost")
    ec.register_resource("linux::Application", label="app", connectedTo="here", command="echo ${n}")


def measure(stand: Stand, runs: int) -> None:
    """Carry out so many runs; print a line for each tenth."""
    redis: Any = stand.backend().redis
    pids = [int(redis.info("server")["process_id"])]
    pids += [stand.start_worker().process.pid for _ in range(2)]
    ec = stand.experiment("growth", quiet=True)
    describe(ec)
    metrics = {"n": {"label": "app", "trace": "stdout", "regex": r"\d+"}}
    space = Space.grid(n=range(runs))
    with Campaign(ec, space, parallel=PARALLEL, metrics=metrics, settings=stand.settings) as made:
        made.submit()
        done, since, before = 0, time.monotonic(), list(map(used_by, pids))
        for row in made.rows(follow=True):
            assert row.metrics["n"] == row.parameters["n"]
            done += 1
            if done % max(1, runs // 10):
                continue
            now, after = time.monotonic(), list(map(used_by, pids))
            own = [(end[0] - begin[0]) for begin, end in zip(before, after, strict=True)]
            host = sum(end[1] - begin[1] for begin, end in zip(before, after, strict=True))
            each = max(1, runs // 10) / 1e3
            print(
                f"{done}: {(now - since) / each:.1f} ms; processor: Redis {own[0] / each:.1f}, "
                f"workers {sum(own[1:]) / each:.1f}, host {host / each:.1f} ms; memory: Redis "
                f"{redis.info('memory')['used_memory'] / 1e6:.1f}, workers "
                f"{' '.join(f'{resident(pid):.0f}' for pid in pids[1:])} MB",
                flush=True,
            )
            since, before = now, after
        assert made.wait().failed == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3000)
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="nepiq-growth-") as folder,
        Stand(Path(folder)) as stand,
    ):
        measure(stand, options.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
