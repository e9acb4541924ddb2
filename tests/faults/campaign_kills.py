"""Kill what carries out a campaign, many times: ``python -m tests.faults.campaign_kills KIND...``.

A kind is what is killed by SIGKILL: ``worker``, any of two; ``step``, the one that carries out
the step of the campaign; ``redis``, which is started again with its file. Each kind has a campaign
of its own. Afterwards each repetition of each point must have exactly one row.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
from pathlib import Path

from tests.faults.test_campaigns import expect_each_once, submitted, wait_for_rows
from tests.stand import Stand, Worker, until

from nepiq.controller import Campaign
from nepiq.controller.engine.store import keys

KINDS = ("worker", "step", "redis")


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


def main() -> None:
    """Run a campaign of each kind and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS) + "; all")
    parser.add_argument("--moments", type=int, default=20, help="how often it is killed")
    parser.add_argument("--points", type=int, default=75, help="of 4 repetitions each")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    print("| killed | seed | moments | runs | seconds | rows |\n|---|---|---|---|---|---|")
    for kind in given.kinds or KINDS:
        chance = random.Random(given.seed)
        total = 4 * given.points
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="nepiq-") as folder, Stand(Path(folder)) as stand:
            workers = [stand.start_worker(f"w{n}") for n in range(2)]
            campaign = submitted(stand, given.points)
            for at in sorted(chance.sample(range(1, total - 5), given.moments)):
                wait_for_rows(campaign, at)
                time.sleep(chance.uniform(0.0, 0.3))  # the moment within a step
                kill(stand, campaign, kind, workers, at)
            expect_each_once(stand, campaign, given.points)
        seconds = time.monotonic() - began
        row = (kind, given.seed, given.moments, total, f"{seconds:.0f}", "one each")
        print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
