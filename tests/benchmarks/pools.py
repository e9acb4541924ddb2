"""``python -m tests.benchmarks.pools``: the time that Redis takes to decide which runs get hosts.

Four campaigns have 2 000 runs of 1 to 20 hosts on a pool of 500. Each has up to 16 requests in the
queue. The runs end in the order in which they began, and give their hosts back one by one, as nodes
do. The times are those of the scripts in Redis' SLOWLOG.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.stand import Stand

from nepiq.controller.engine.campaign_records import Begin, Placing
from nepiq.controller.engine.campaigns import CampaignStore
from nepiq.controller.engine.pools import PoolStore
from nepiq.controller.engine.store.scripts import script
from nepiq.controller.engine.store.wire import spec_arguments
from nepiq.controller.model.pools import Want
from nepiq.controller.model.spec import ResourceSpec

CAMPAIGNS = 4
_SCRIPTS = ("pool_place", "pool_release")


class Player:
    """Plays the workers of one campaign.

    Args:
        store: the campaign.
        pools: the pools.
        chance: decides about the sizes of runs.
    """

    def __init__(self, store: CampaignStore, pools: PoolStore, chance: random.Random) -> None:
        self._store = store
        self._pools = pools
        self._chance = chance
        self._made = 0

    def step(self, hosts: Sequence[str], largest: int) -> list[tuple[str, int]]:
        """Carry out the step; the runs that have begun, and the number of their hosts."""
        taken = self._store.take(self._store.name, "worker")
        if taken is None:
            return []
        spec = spec_arguments("", ResourceSpec(1, "nepiq::Null", "only", batch=True), goal=True)
        begins = [
            Begin(item.run_id, item.slot, ["exp", "", 1, "1", *spec]) for item in taken.placed
        ]
        self._store.settle(taken.token, [], begins)
        new = []
        for slot in taken.slots:
            self._made += 1
            guids = range(2, 2 + self._chance.randint(1, largest))
            run_id = f"{self._made:010}{self._store.name:0>10}"
            new.append(Placing(run_id, 1, slot, [Want(guids, hosts)]))
        self._pools.place(self._store.name, taken.token, [], [], new)
        return [(item.run_id, len(item.leases)) for item in taken.placed]


def measure(hosts: int, runs: int, largest: int) -> str:
    """Play all runs; the times of the scripts."""
    chance = random.Random(1)
    names = [f"host-{number:03}:22" for number in range(hosts)]
    with tempfile.TemporaryDirectory(prefix="nepiq-pools-") as folder, Stand(Path(folder)) as stand:
        backend = stand.backend()
        redis: Any = backend.redis
        players = []
        for number in range(CAMPAIGNS):
            store = backend.campaign(str(number))
            store.create("digest", {}, parallel=runs, max_failures="", places=1)
            store.add("first", 0, runs // CAMPAIGNS, {})
            players.append(Player(store, backend.pools, chance))
        redis.config_set("slowlog-max-len", 1_000_000)
        redis.config_set("slowlog-log-slower-than", 0)
        under_way: deque[tuple[str, int]] = deque()
        begun = held = most = 0
        while begun < runs or under_way:
            found = [run for player in players for run in player.step(names, largest)]
            under_way += found
            begun += len(found)
            held += sum(count for _, count in found)
            most = max(most, held)
            if under_way and not found:
                run_id, count = under_way.popleft()
                held -= count
                for guid in range(2, 2 + count):
                    backend.pools.give_back(run_id, 1, guid)
                backend.pools.give_back(run_id, 1)
        names_of = {script(name).sha.encode(): name for name in _SCRIPTS}
        times: dict[str, list[float]] = defaultdict(list)
        for entry in redis.slowlog_get(1_000_000):
            words = entry["command"].split()
            if words[0] == b"EVALSHA" and words[1] in names_of:
                times[names_of[words[1]]].append(entry["duration"] / 1e3)
        assert not backend.pools.allocation().leases
        shown = [
            f"{name}: {len(items)} times, median {statistics.median(items):.2f}, mean "
            f"{statistics.fmean(items):.2f}, 99 % below "
            f"{statistics.quantiles(items, n=100)[98]:.2f}, most {max(items):.2f} ms"
            for name, items in times.items()
        ]
        return f"{runs} runs on {hosts} hosts, {most} of them leased at most\n" + "\n".join(shown)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=500)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--largest", type=int, default=20)
    options = parser.parse_args(arguments)
    print(measure(options.hosts, options.runs, options.largest))
    return 0


if __name__ == "__main__":
    sys.exit(main())
