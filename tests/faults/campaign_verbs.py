"""Verbs at random moments of a campaign: ``python -m tests.faults.campaign_verbs``.

Points are added, ``parallel`` is changed, both workers are replaced, and the campaign is paused,
resumed and cancelled, in a random order. Each verb comes from a process of its own, which executes
it twice; those that resume have another home. Afterwards each repetition of each point must have
exactly one row.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.campaign_kills import moments
from tests.faults.test_campaigns import REPETITIONS, VERBS, submitted
from tests.stand import Stand, Worker, until

from nepiq.controller.engine.store import keys

ACTS = ("add", "set", "replace", "pause", "cancel")
ADDED = 1
"""Points that ``add`` of the script adds: of its two, the campaign has one."""

UNIT = 0.05
"""Runs take up to 1.2 s, since another process needs a second to begin."""


class Round:
    """One campaign, and what is done to it.

    Args:
        stand: Redis and workers.
        points: number of points of the campaign.
        pause: seconds for which it is paused.
    """

    def __init__(self, stand: Stand, points: int, pause: float) -> None:
        self._stand = stand
        self._pause = pause
        self._workers: list[Worker] = []
        self._elsewhere = stand.folder / "elsewhere"
        self._elsewhere.mkdir()
        self._replace()
        self.campaign = submitted(stand, points, UNIT)
        self.total = points * REPETITIONS

    def act(self, act: str) -> None:
        """Do something to the campaign, and undo it if it goes on only then."""
        if act == "replace":
            self._replace()
            return
        self._verb(act)
        if act == "pause":
            self._expect_rest()
        elif act == "cancel":
            self._expect_nothing()
        if act in ("pause", "cancel"):
            self._verb("resume", HOME=str(self._elsewhere))

    def expect_each_once(self) -> None:
        """Wait for the end; fail unless each repetition of each point has one row."""
        record = self.campaign.wait(200.0)
        total = self.total + ADDED
        assert (record.phase, record.total, record.parallel) == ("finished", total, 3)
        counted = Counter((row.point, row.repetition) for row in self.campaign.rows())
        assert (len(counted), set(counted.values())) == (total, {1})
        assert record.finished == total

    def _verb(self, verb: str, **environment: str) -> None:
        """Execute a verb twice, in another process."""
        script = self._stand.script(VERBS, verb, **environment)
        _, stderr = script.communicate(timeout=60.0)
        assert script.returncode == 0, stderr

    def _replace(self) -> None:
        """Replace both workers."""
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
        for worker in self._workers:
            worker.ended()
        first = len(self._stand.workers)
        self._workers = [self._stand.start_worker(f"w{first + number}") for number in range(2)]

    def _expect_rest(self) -> None:
        """Replace both workers while the campaign is paused; fail if a run begins."""
        until(lambda: not self.campaign.status().active, 30.0, "runs go on")
        before = self.campaign.status()
        assert before.phase == "paused"
        end = time.monotonic() + self._pause
        self._replace()
        time.sleep(max(0.0, end - time.monotonic()))  # a campaign that is paused for so long
        assert self.campaign.status() == before

    def _expect_nothing(self) -> None:
        """Fail unless the cancelled campaign soon has no run."""
        record = self.campaign.wait(60.0)
        assert (record.phase, record.active) == ("cancelled", 0)
        redis = self._stand.backend().redis
        known = (keys.active("main"), keys.RUNS, keys.ENDED)
        until(lambda: not redis.exists(*known), 10.0, "runs were left")
        assert redis.keys(r"nepiq:{2*") == []


def main() -> None:
    """Carry out some rounds and print how they went."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, default=75, help=f"of {REPETITIONS} repetitions each")
    parser.add_argument("--pause", type=float, default=60.0, help="seconds; %(default)g")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    print("| seed | order | after rows | runs | seconds | rows |\n|---|---|---|---|---|---|")
    for seed in range(given.seed, given.seed + given.rounds):
        chance = random.Random(seed)
        acts = chance.sample(ACTS, len(ACTS))
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="nepiq-") as folder, Stand(Path(folder)) as stand:
            made = Round(stand, given.points, given.pause)
            at = []
            for act, rows in zip(
                acts, moments(made.campaign, made.total * 2 // 3, len(acts), chance), strict=True
            ):
                at.append(rows)
                made.act(act)
            made.expect_each_once()
        seconds = f"{time.monotonic() - began:.0f}"
        rows_at = ", ".join(map(str, at))
        row = (seed, ", ".join(acts), rows_at, made.total + ADDED, seconds, "one each")
        print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
