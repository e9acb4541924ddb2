"""``python -m tests.benchmarks.scale``: experiments of 10 000 and 100 000 resources, start to end.

Two workers; a Redis that notes how long each script took.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.stand import Stand

from nepiq.controller.engine.store.timing import Timing

_SLOW = 0.020


@dataclass
class Row:
    """What one experiment took.

    Attributes:
        count: resources.
        started: seconds from ``deploy()`` until all were STARTED.
        released: seconds that the release took.
        memory: bytes in Redis for each resource, when all were STARTED.
        scripts: calls of scripts.
        slow: how many took longer than 20 ms.
        longest: seconds of the longest; 0 if none took a millisecond.
    """

    count: int
    started: float
    released: float
    memory: float
    scripts: int
    slow: int
    longest: float

    @property
    def each(self) -> float:
        """Seconds for each resource."""
        return (self.started + self.released) / self.count


def measure(count: int) -> Row:
    """Carry out an experiment of so many resources that do nothing."""
    with tempfile.TemporaryDirectory(prefix="nepiq-scale-") as folder, Stand(Path(folder)) as stand:
        stand.start_worker(wait=False)
        stand.start_worker()
        redis = stand.backend().redis
        redis.config_set("slowlog-log-slower-than", 1000)
        redis.config_set("slowlog-max-len", 1_000_000)
        redis.config_resetstat()
        ec = stand.experiment("scale", quiet=True)
        for _ in range(count):
            ec.register_resource("nepiq::Null")
        before = int(redis.info("memory")["used_memory"])
        began = time.monotonic()
        ec.deploy()
        assert ec.wait_started(timeout=600)
        started = time.monotonic() - began
        memory = (int(redis.info("memory")["used_memory"]) - before) / count
        began = time.monotonic()
        ec.shutdown()
        released = time.monotonic() - began
        scripts = int(redis.info("commandstats")["cmdstat_evalsha"]["calls"])
        took = [
            entry["duration"] / 1e6
            for entry in redis.slowlog_get(1_000_000)
            if entry["command"].upper().startswith(b"EVALSHA")
        ]
        slow = sum(seconds > _SLOW for seconds in took)
        return Row(count, started, released, memory, scripts, slow, max(took, default=0.0))


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    rows = [measure(count) for count in parser.parse_args().counts]
    print(
        "| resources | STARTED | released | each | memory each | scripts | over 20 ms | longest |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        share = row.slow / row.scripts
        print(
            f"| {row.count} | {row.started:.1f} s | {row.released:.1f} s | {row.each * 1e6:.0f} µs "
            f"| {row.memory:.0f} B | {row.scripts} | {row.slow} ({share:.2%}) "
            f"| {row.longest * 1e3:.1f} ms |"
        )
    print(f"one script opens or arms at most {Timing().limit} items")
    print(f"the last takes {rows[-1].each / rows[0].each:.2f} times as long for each as the first")
    return 0


if __name__ == "__main__":
    sys.exit(main())
