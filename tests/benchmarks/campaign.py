"""``python -m tests.benchmarks.campaign``: campaigns of runs that do nothing, beside their peers.

Two workers, and no script: it is over when the campaign has been submitted. CPU time is that of the
workers and of Redis. The peers start a process, ``true``, for each run, two at a time: xargs, GNU
parallel if it is installed, and ParamSweeper if execo is. Only ParamSweeper keeps a record.

With ``--hosts 4``: runs of an application of two seconds that lease one host or two of so many, in
namespaces and over SSH. A gap is the time from the end of a run on a host to the begin of the next.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median

from tests.e2e import pooled
from tests.stand import Stand
from tests.testbed import Testbed

from nepiq.controller import Campaign, Space
from nepiq.controller.engine.pools import MOST_OVERTAKEN

RESOURCES = 3
#: Runs for which a campaign requests hosts before they begin (docs/decisions/0052).
MOST_AHEAD = 16
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Row:
    """What one campaign took.

    Attributes:
        runs: number of runs.
        wall: seconds from the submission to the last row.
        workers, redis: CPU seconds of all workers, and of Redis.
        peak: bytes in Redis above its start, at the peak.
        ended: bytes that the campaign keeps.
        drift: time of the last tenth of the runs to that of the first.
        submitted: seconds until it was submitted.
    """

    runs: int
    wall: float
    workers: float
    redis: float
    peak: int
    ended: int
    drift: float
    submitted: float

    def __str__(self) -> str:
        workers, redis = (seconds / self.runs * 1e3 for seconds in (self.workers, self.redis))
        return (
            f"{self.runs} runs: {self.wall / self.runs * 1e3:.2f} ms each, CPU: workers "
            f"{workers:.2f}, Redis {redis:.2f} ms; "
            f"last tenth {self.drift:.2f} of the first; peak {self.peak / 1e6:.1f} MB, "
            f"{self.ended / self.runs:.0f} B an ended run; submitted in {self.submitted:.2f} s"
        )


def cpu(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def measure(runs: int, parallel: int) -> Row:
    """Carry out a campaign of so many runs of three resources that do nothing."""
    with (
        tempfile.TemporaryDirectory(prefix="nepiq-campaign-") as folder,
        Stand(Path(folder)) as stand,
    ):
        pids = [stand.start_worker().process.pid for _ in range(2)]
        redis = stand.backend().redis
        ec = stand.experiment("campaign", quiet=True)
        for _ in range(RESOURCES):
            ec.register_resource("nepiq::Null", ends=True)
        space = Space.grid(n=range(runs))
        campaign = stand.owned(Campaign(ec, space, parallel=parallel, settings=stand.settings))
        redis_pid = int(redis.info("server")["process_id"])
        redis.config_resetstat()
        before = int(redis.info("memory")["used_memory"])
        used = [cpu(pid) for pid in (*pids, redis_pid)]
        began = time.monotonic()
        campaign.submit()
        submitted = time.monotonic() - began
        # Its rows are read at the end only: a reader would be measured too.
        while not campaign.status().over:
            time.sleep(0.2)
        wall = time.monotonic() - began
        spent = [cpu(pid) - start for pid, start in zip((*pids, redis_pid), used, strict=True)]
        peak = int(redis.info("memory")["used_memory_peak"]) - before
        ends = sorted(row.ended for row in campaign.rows() if row.ended is not None)
        assert len(ends) == runs
        tenth = max(1, runs // 10)
        drift = (ends[-1] - ends[-tenth]) / max(1e-9, ends[tenth - 1] - ends[0])
        ended = stand.backend().campaign(campaign.name).memory()
        return Row(runs, wall, sum(spent[:-1]), spent[-1], peak, ended, drift, submitted)


def processes(runs: int) -> float:
    """Seconds that ``xargs -P2`` takes for as many processes."""
    numbers = "\n".join(map(str, range(runs)))
    began = time.monotonic()
    subprocess.run(["xargs", "-P2", "-n1", "true"], input=numbers, text=True, check=True)
    return time.monotonic() - began


def parallel_jobs(runs: int) -> float:
    """Seconds that GNU parallel takes for as many jobs."""
    numbers = "\n".join(map(str, range(runs)))
    began = time.monotonic()
    subprocess.run(["parallel", "-j2", "true"], input=numbers, text=True, check=True)
    return time.monotonic() - began


def swept(runs: int) -> float:
    """Seconds that execo's ParamSweeper takes for as many combinations, with two threads."""
    from execo_engine import ParamSweeper, sweep

    with tempfile.TemporaryDirectory(prefix="nepiq-sweeper-") as folder:
        sweeper = ParamSweeper(f"{folder}/sweeps", sweep({"n": list(range(runs))}))

        def work(_: int) -> None:
            while (combination := sweeper.get_next()) is not None:
                subprocess.run(["true"], check=True)
                sweeper.done(combination)

        began = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, range(2)))
        return time.monotonic() - began


def leasing(runs: int, hosts: int, seconds: float = 2.0) -> str:
    """Carry out runs on leased hosts, a third of them on two; how busy the hosts were."""
    with (
        tempfile.TemporaryDirectory(prefix="nepiq-campaign-") as folder,
        Testbed(hosts=hosts) as bed,
        Stand(Path(folder)) as stand,
    ):
        for _ in range(2):
            stand.start_worker(NEPIQ_SSH_CONFIG=str(bed.ssh_config))
        pool = f"host-[1-{hosts}]"
        made = [
            pooled.campaign(stand, "single", ["one"], runs - runs // 3, pool, seconds),
            pooled.campaign(stand, "double", ["left", "right"], runs // 3, pool, seconds),
        ]
        for campaign in made:
            campaign.submit()
        for campaign in made:
            assert campaign.wait().failed == 0
        spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        begins = []
        for number, campaign in enumerate(made):
            for row in campaign.rows():
                assert row.began is not None
                assert row.ended is not None
                begins.append((row.began, number))
                for host in row.hosts.values():
                    spans[host].append((row.began, row.ended))
        pooled.noted(bed.hosts)
    passed_over = longest_wait(begins)
    # So many runs of a campaign may request hosts before those of the other, and then overtake.
    assert passed_over <= MOST_AHEAD + MOST_OVERTAKEN
    used = [sorted(items) for items in spans.values()]
    whole = max(items[-1][1] for items in used) - min(items[0][0] for items in used)
    busy = sum(end - begin for items in used for begin, end in items)
    count = sum(map(len, used))
    gaps = sorted(after[0] - before[1] for items in used for before, after in pairwise(items))
    return (
        f"{runs} runs on {hosts} hosts in {whole:.0f} s: busy {busy / whole / hosts:.1%}, their "
        f"application {count * seconds / whole / hosts:.1%}; gaps: median "
        f"{median(gaps) * 1e3:.0f}, 90 % below {gaps[int(0.9 * len(gaps))] * 1e3:.0f} ms; at most "
        f"{passed_over} runs of one campaign began between two of the other"
    )


def longest_wait(begins: Sequence[tuple[float, int]]) -> int:
    """Return how many runs of one campaign began in a row while the other one had runs to begin.

    Args:
        begins: moment and campaign, 0 or 1, of each run.
    """
    ordered = [number for _, number in sorted(begins)]
    last = min(len(ordered) - ordered[::-1].index(number) for number in set(ordered))
    return max(len(list(group)) for _, group in groupby(ordered[:last]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.hosts:
        print(leasing(options.runs, options.hosts))
        return 0
    for _ in range(options.rounds):
        print(measure(options.runs, options.parallel), flush=True)
        print(f"xargs -P2 true: {processes(options.runs) / options.runs * 1e3:.2f} ms each")
        if shutil.which("parallel"):
            each = parallel_jobs(options.runs) / options.runs * 1e3
            print(f"GNU parallel -j2 true: {each:.2f} ms each")
        if importlib.util.find_spec("execo_engine"):
            print(f"ParamSweeper, true: {swept(options.runs) / options.runs * 1e3:.2f} ms each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
