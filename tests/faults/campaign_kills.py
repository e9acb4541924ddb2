"""Kill what carries out a campaign, many times: ``python -m tests.faults.campaign_kills KIND...``.

A kind is what is killed by SIGKILL: ``worker``, any of two; ``step``, the one that carries out
the step of the campaign; ``redis``, which is started again with its file; ``host``, any of two of
a pool, which is booted again. Each kind has a campaign of its own. Afterwards each repetition of
each point must have exactly one row, and no process of a run may be on a host. Directories of
runs that ended while their host was down are left to ``nepiq clean``.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.pooled import campaign as campaign_on_hosts
from tests.faults.lab import Lab
from tests.faults.test_campaigns import REPETITIONS, expect_each_once, submitted, wait_for_rows
from tests.stand import Stand, Worker, until
from tests.testbed import Host, Testbed

from nepiq.controller import Campaign
from nepiq.controller.engine.store import keys

KINDS = {"worker": 75, "step": 75, "redis": 75, "host": 25}
"""Number of points of the campaign by what is killed."""

HOSTS = "host-[1-2]"


def holder(stand: Stand, campaign: Campaign, workers: list[Worker]) -> int:
    """The number of the worker that has the step of the campaign, as soon as one has."""
    found: list[int] = []

    def look() -> bool:
        state = stand.backend().redis.hgetall(keys.campaign(campaign.name) + "state")
        name = state.get(b"worker", b"").decode()
        if state.get(b"status") == b"claimed":
            found.extend(n for n, one in enumerate(workers) if name.startswith(f"{one.name}@"))
        return bool(found) or campaign.status().over

    until(look, 60.0, "no worker has the step")
    return found[0] if found else 0


def kill(stand: Stand, campaign: Campaign, kind: str, workers: list[Worker], at: int) -> None:
    """Kill one, and start another one in its place."""
    if kind == "redis":
        stand.stop_redis(signal.SIGKILL)
        until(lambda: not stand.socket.unlink(missing_ok=True), 1.0, "the socket stays")
        stand.start_redis()
        return
    number = at % 2 if kind == "worker" else holder(stand, campaign, workers)
    workers[number].signal(signal.SIGKILL)
    workers[number].ended()
    workers[number] = stand.start_worker(f"w{at}-{number}")


def moments(campaign: Campaign, total: int, count: int, chance: random.Random) -> Iterator[int]:
    """Wait for random moments of a campaign; yield the number of its rows at each of them."""
    for at in sorted(chance.sample(range(1, total - 5), count)):
        wait_for_rows(campaign, at)
        time.sleep(chance.uniform(0.0, 0.3))  # the moment within a step
        yield at


def kill_services(folder: Path, kind: str, points: int, count: int, chance: random.Random) -> str:
    """Kill workers or Redis at moments of a campaign; return what became of the runs."""
    with Stand(folder) as stand:
        workers = [stand.start_worker(f"w{n}") for n in range(2)]
        campaign = submitted(stand, points)
        for at in moments(campaign, points * REPETITIONS, count, chance):
            kill(stand, campaign, kind, workers, at)
        expect_each_once(stand, campaign, points)
    return "one each"


def reboot_hosts(folder: Path, points: int, count: int, chance: random.Random) -> str:
    """Reboot hosts of a pool at moments of a campaign; return what became of the runs."""
    total = points * REPETITIONS
    with Testbed(2) as bed, Lab(folder, bed) as lab:
        lab.start_workers(2)
        campaign = campaign_on_hosts(
            lab.stand, "sweep", ["one"], points, HOSTS, 0.5, repetitions=REPETITIONS
        ).submit()
        for _ in moments(campaign, total, count, chance):
            chance.choice(bed.hosts).reboot()
        record = campaign.wait(600.0)
        rows = list(campaign.rows())
        counted = Counter((row.point, row.repetition) for row in rows)
        assert (record.phase, len(counted), set(counted.values())) == ("finished", total, {1})
        # A run that hosts have failed three times is not begun again.
        lost = [row for row in rows if row.outcome != "finished"]
        assert all(row.attempts == 3 for row in lost), lost
        pools = lab.stand.backend().pools
        until(lambda: not pools.allocation().leases, 15.0, "leases were left")
        processes = [pid for host in bed.hosts for pid in host.bearers("20")]
        assert not processes, processes
        left = sum(len(directories(host)) for host in bed.hosts)
        output = lab.stand.command("clean", *(host.name for host in bed.hosts), "--yes")
        assert not any(map(directories, bed.hosts)), output
    return f"one each; {record.again} begun again; {len(lost)} failed; {left} directories cleaned"


def directories(host: Host) -> list[Path]:
    """The directories of runs on a host; a release cannot remove them while it is down."""
    return list((host.root / "lab" / ".nepiq").glob("20*"))


def main() -> None:
    """Run a campaign of each kind and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS) + "; all")
    parser.add_argument("--moments", type=int, default=20, help="how often it is killed")
    parser.add_argument("--points", type=int, help=f"of {REPETITIONS} repetitions each")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    print("| killed | seed | moments | runs | seconds | rows |\n|---|---|---|---|---|---|")
    for kind in given.kinds or KINDS:
        chance = random.Random(given.seed)
        points = given.points or KINDS[kind]
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="nepiq-") as folder:
            if kind == "host":
                rows = reboot_hosts(Path(folder), points, given.moments, chance)
            else:
                rows = kill_services(Path(folder), kind, points, given.moments, chance)
        seconds = f"{time.monotonic() - began:.0f}"
        row = (kind, given.seed, given.moments, points * REPETITIONS, seconds, rows)
        print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
