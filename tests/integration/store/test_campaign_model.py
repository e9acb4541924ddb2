"""The scripts of campaigns against the reference model, in random sequences of calls."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from redis import Redis
from tests.integration.store.test_campaigns import Player
from tests.reference.campaigns import CampaignModel, Work

from nepiq.controller.engine.campaign_records import Begin, Fold, Taken
from nepiq.controller.engine.campaigns import CampaignStore
from nepiq.controller.engine.store import RunStore
from nepiq.controller.engine.store.scripts import script

pytestmark = pytest.mark.needs("redis-server")

WORKERS = ["one", "two"]
READERS = ["a", "b"]
VERDICTS = [
    ("row", "finished", ""),
    ("row", "failed", "a"),
    ("row", "failed", "b"),
    ("again", "failed", "a"),
    ("row", "cancelled", "c"),
    ("wait", "finished", ""),
    ("wait", "finished", ""),
]
#: What becomes of a run that was measured.
MEASURED = [("row", "finished", ""), ("row", "failed", "a"), ("again", "failed", "a")]

#: Workers do most; what they do comes in any order, so that one works after it has lost its claim.
WEIGHTS = {"take": 8, "work": 8, "end": 6, "lose": 2, "sweep": 1}
WEIGHTS |= {"verb": 2, "retry": 1, "set": 1, "add": 1}
WEIGHTS |= {"measure": 2, "measured": 5, "lose_reader": 1}
STEPS = 120
SEEDS = range(40)


class Both:
    """A campaign in Redis and in the model, to which the same happens."""

    def __init__(
        self, redis: Redis, total: int, parallel: int, most: int | None, ahead: int | None
    ) -> None:
        redis.flushall()
        # In a pipeline, a script that Redis does not know yet is carried out after the others.
        for name in ("fold", "begin"):
            redis.script_load(script(name).text)
        self.player = Player(redis, CampaignStore)
        self.store = self.player.store
        self.model = CampaignModel(total, parallel, most, ahead=ahead)
        self.player.submit(total, parallel, "" if most is None else most, ahead)
        self._measuring: dict[str, list[str]] = {}
        self._claims: dict[str, tuple[Taken, Work]] = {}
        self._released: dict[str, list[str]] = {}
        self._added = 0

    def take(self, worker: str) -> None:
        """Claim the step, or go on with it."""
        released = self._released.pop(worker, [])
        taken, work = self.player.take(worker, released), self.model.take(worker, released)
        assert (taken is None) == (work is None)
        if taken is not None and work is not None:
            assert (set(taken.over), set(taken.releases)) == (work.over, work.releases)
            assert list(taken.slots) == work.slots
            self._claims[worker] = taken, work

    def work(self, worker: str, verdict: tuple[str, str, str]) -> None:
        """Do what a worker took last, even if it has lost its claim since."""
        if worker not in self._claims:
            return
        taken, work = self._claims.pop(worker)
        for run_id in taken.releases:
            RunStore(self.player.redis, run_id, self.player.timing).release("cancel")
            if self.phase(run_id) == "RELEASED":
                self.model.ended(run_id)
        self._released[worker] = list(taken.releases)
        word, outcome, cause = verdict
        folds = [
            Fold(run_id, word, outcome != "finished", outcome, cause, f'"{run_id}"')
            for run_id in taken.over
        ]
        begins = [
            Begin(self.player.new_id(), slot, self.player.arguments()) for slot in taken.slots
        ]
        statuses, replies = self.store.settle(taken.token, folds, begins)
        assert statuses == [self.model.fold(work.token, end) for end in folds]
        assert [reply.status for reply in replies] == [
            self.model.begin(work.token, item.run_id, item.slot) for item in begins
        ]

    def measure(self, nonce: str) -> None:
        """Claim the measurement, or go on with it."""
        found, runs = self.store.measure(nonce), self.model.measure(nonce)
        assert (None if found is None else [run_id for run_id, _, _ in found]) == runs
        for run_id, slot, row in found or ():
            assert (slot, row) == (replace_origin(self.model.waiting[run_id]), f'"{run_id}"')
        self._measuring[nonce] = runs or []

    def measured(self, nonce: str, verdict: tuple[str, str, str]) -> None:
        """Enter the first of the runs that a process took, even if it has lost its claim since."""
        if not self._measuring.get(nonce):
            return
        run_id = self._measuring[nonce].pop(0)
        word, outcome, cause = verdict
        end = Fold(run_id, word, outcome != "finished", outcome, cause, f'"{run_id}"')
        assert self.store.measured(nonce, end) == self.model.measured(nonce, end)

    def lose_reader(self) -> None:
        """Let the lease of the measurement run out."""
        self.player.redis.hset("nepiq:{campaign:sweep}:state", "reading", 0)
        self.model.reader = ""
        self.player.redis.hset("nepiq:{campaign:sweep}:state", "reader", "")

    def end(self, number: int) -> None:
        """Let a run that is under way end by itself."""
        going = sorted(self.model.active.keys() - self.model.over)
        running = [run_id for run_id in going if self.phase(run_id) == "RUNNING"]
        if running:
            run_id = running[number % len(running)]
            self.player.carry_out(run_id)
            self.model.ended(run_id)

    def verb(self, verb: str, argument: str | int = "") -> None:
        """Carry out a verb."""
        arguments = ("parallel", argument) if verb == "set" else (argument,)
        _, number = self.store.change(verb, *arguments)
        assert number == self.model.change(verb, argument)

    def add(self, count: int) -> None:
        """Add a space."""
        self._added += 1
        assert self.store.add(f"space-{self._added}", self._added, count, {}) == "OK"
        self.model.add(count)

    def lose(self) -> None:
        """Let the lease of the step run out."""
        self.player.redis.hset("nepiq:{campaign:sweep}:state", "lease", time.time() - 1.0)
        self.sweep()

    def sweep(self) -> None:
        """Let the sweeper look."""
        expired = float(self._state().get("lease", "inf")) < time.time()
        self.store.sweep()
        if expired:
            self.model.lose()
        self.model.sweep()

    def phase(self, run_id: str) -> str:
        """The phase of a run."""
        meta = RunStore(self.player.redis, run_id, self.player.timing).meta()
        return "" if meta is None else meta.phase

    def check(self) -> None:
        """Hold both against each other, and each slot against what it may be in."""
        model, record = self.model, self.store.record()
        assert record is not None
        assert (record.phase, record.total, record.parallel) == (
            model.phase,
            model.total,
            model.parallel,
        )
        outcomes = model.outcomes()
        counted = (record.finished, record.failed, record.cancelled)
        assert counted == tuple(map(outcomes.count, ("finished", "failed", "cancelled")))
        assert self.store.entries(sorted(model.active)) == {
            run_id: replace_origin(slot) for run_id, slot in model.active.items()
        }
        assert len(self.store.active()) == len(model.active)
        assert record.waiting == len(model.waiting)
        assert {slot: cause for slot, _, _, cause in self.store.failed()} == model.failed
        state = self._state()
        assert (state["status"], int(state["cursor"])) == (model.status, model.cursor)
        assert len(self.player.rows()) == len(model.rows)
        assert list(model.slots()) == list(range(model.cursor))

    def _state(self) -> dict[str, str]:
        raw: Any = self.player.redis.hgetall("nepiq:{campaign:sweep}:state")
        return {name.decode(): value.decode() for name, value in raw.items()}


def replace_origin(slot: Any) -> Any:
    """A slot as one that is under way."""
    return slot._replace(origin="")


def one_step(both: Both, chance: random.Random) -> None:
    """Do something."""
    [name] = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    match name:
        case "take":
            both.take(chance.choice(WORKERS))
        case "work":
            both.work(chance.choice(WORKERS), chance.choice(VERDICTS))
        case "measure":
            both.measure(chance.choice(READERS))
        case "measured":
            both.measured(chance.choice(READERS), chance.choice(MEASURED))
        case "end":
            both.end(chance.randrange(6))
        case "verb":
            # Mostly it goes on.
            both.verb(chance.choice(["pause", "stop", "cancel", *["resume"] * 3]))
        case "retry":
            both.verb("retry", chance.choice(["", "a", "c"]))
        case "set":
            both.verb("set", chance.randint(1, 4))
        case "add":
            both.add(chance.randint(1, 3))
        case _:
            getattr(both, name)()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_calls(redis_client: Redis, seed: int) -> None:
    chance = random.Random(seed)
    total, parallel, most = chance.randint(1, 9), chance.randint(1, 3), chance.choice([None, 2])
    both = Both(redis_client, total, parallel, most, chance.choice([None, 0, 2]))
    both.check()
    for _ in range(STEPS):
        one_step(both, chance)
        both.check()
    # Whatever has happened, it can be brought to its end.
    both.verb("resume")
    both.lose()
    both.lose_reader()
    for _ in range(200):
        both.sweep()
        both.measure("a")
        both.measured("a", MEASURED[0])
        both.take("one")
        both.work("one", VERDICTS[0])
        both.end(0)
        both.check()
        if both.model.phase == "finished":
            break
    assert len(both.model.rows) == both.model.total
