"""The scripts of campaigns against the reference model, in random sequences of calls."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from redis import Redis
from tests.integration.store.test_campaigns import Player
from tests.reference.campaigns import CampaignModel, Work
from tests.reference.pools import PoolModel

from nepiq.controller.engine.campaign_records import Begin, Fold, Placing, Slot, Taken
from nepiq.controller.engine.campaigns import CampaignStore
from nepiq.controller.engine.pools import PoolStore
from nepiq.controller.engine.store import RunStore
from nepiq.controller.engine.store.scripts import script
from nepiq.controller.model.pools import Want

pytestmark = pytest.mark.needs("redis-server")

WORKERS = ["one", "two"]
READERS = ["a", "b"]
CLAIMANTS = {"take": WORKERS, "measure": READERS}
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
WEIGHTS = {"take": 8, "work": 8, "end": 6, "give_back": 1, "lose": 2, "sweep": 1}
WEIGHTS |= {"verb": 2, "retry": 1, "set": 1, "add": 1}
WEIGHTS |= {"measure": 2, "measured": 5, "lose_reader": 1}
WEIGHTS |= {"foreign": 3, "sweep_pool": 1, "rank": 1}
#: Of what is set: parallel, and the priority, which is 0 for runs of scripts.
RANGES = {"set": (1, 4), "rank": (-1, 1)}
HOSTS = [f"h{number}:22" for number in range(1, 6)]
FOREIGN = ["a", "b"]
STEPS = 120
SEEDS = range(40)
PLACED_SEEDS = range(12)


class Both:
    """A campaign in Redis and in the model, to which the same happens."""

    def __init__(
        self,
        redis: Redis,
        total: int,
        parallel: int,
        most: int | None,
        ahead: int | None,
        *,
        places: bool,
    ) -> None:
        redis.flushall()
        # In a pipeline, a script that Redis does not know yet is carried out after the others.
        for name in ("fold", "begin"):
            redis.script_load(script(name).text)
        self.player = Player(redis, CampaignStore, retry=0.0)
        self.store = self.player.store
        self.places = places
        self.pools, self.pool = PoolStore(redis, most_overtaken=2), PoolModel(2)
        pool = self.pool if places else None
        self.model = CampaignModel(total, parallel, most, ahead=ahead, pool=pool)
        self.player.submit(total, parallel, "" if most is None else most, ahead, places=places)
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
            assert {item.run_id: item.slot for item in taken.placed} == {
                run_id: slot._replace(origin="placed") for run_id, slot in work.placed.items()
            }
            for item in taken.placed:
                leases = {lease.host: guid for guid, lease in item.leases.items()}
                assert leases == self._hosts_of(item.run_id)
            assert list(taken.withdrawn) == work.withdrawn
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
        begins = [Begin(item.run_id, item.slot, self.player.arguments()) for item in taken.placed]
        if not self.places:
            begins += [
                Begin(self.player.new_id(), slot, self.player.arguments()) for slot in taken.slots
            ]
        statuses, replies = self.store.settle(taken.token, folds, begins)
        assert statuses == [self.model.fold(work.token, end) for end in folds]
        for reply, item in zip(replies, begins, strict=True):
            expected = self.model.begin(work.token, item.run_id, item.slot)
            # That the run was begun by another worker is noticed first.
            assert reply.status == expected or (reply.status == "CLASH" and expected != "OK")
        if self.places:
            self._place(taken, work)

    def give_back(self, worker: str, reason: str) -> None:
        """Do nothing of what a worker took last, even if it has lost its claim since."""
        if worker in self._claims:
            taken, work = self._claims.pop(worker)
            self.store.give_back(worker, taken.state["phase"], reason)
            self.model.give_back(worker, work.phase, reason)

    def _place(self, taken: Taken, work: Work) -> None:
        new = {self.player.new_id(): (slot, wants_of(slot)) for slot in taken.slots}
        placing = [Placing(run_id, 1, slot, wants) for run_id, (slot, wants) in new.items()]
        ended = [(run_id, 1) for run_id in taken.over]
        status, _ = self.pools.place("sweep", taken.token, ended, taken.withdrawn, placing)
        assert status == self.model.place(work.token, taken.over, work.withdrawn, new)

    def _hosts_of(self, run_id: str) -> dict[str, int]:
        owned = self.pool.leases.items()
        return {host: guid for host, (name, guid) in owned if name == f"{run_id}/1"}

    def foreign(self, number: int) -> None:
        """Let a run that no campaign places request hosts, or give them back."""
        run_id = FOREIGN[number % 2]
        name = f"{run_id}/1"
        if name in self.pool.requests:
            self.pools.sweep([run_id])
            self.pool.sweep([run_id])
        else:
            wants = [Want([2, 3][: 1 + number % 2], HOSTS[number // 2 :][:3])]
            status = self.pools.request(run_id, 1, "1.deploy", wants)[0]
            assert status == self.pool.request(name, run_id, wants)

    def sweep_pool(self) -> None:
        """Let the sweeper look for runs without records, of which those are not that wait."""
        runs, _ = self.pools.sweep()
        assert not self.model.placing.keys() & set(runs)
        over = [run_id for run_id in runs if run_id not in FOREIGN and not self.phase(run_id)]
        self.pools.sweep([*over, *self.model.placing])
        self.pool.sweep(over)

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
        fields = {"set": ("set", "parallel"), "rank": ("set", "priority")}
        _, number = self.store.change(*fields.get(verb, (verb,)), argument)
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
        self._check_hosts()

    def _check_hosts(self) -> None:
        allocation = self.pools.allocation()
        leases = {host: (item.request, item.guid) for host, item in allocation.leases.items()}
        assert leases == self.pool.leases
        overtaken = [(name, self.pool.requests[name].overtaken) for name in self.pool.queue]
        assert [(item.id, item.overtaken) for item in allocation.queue] == overtaken
        known = self.player.redis.hkeys("nepiq:{campaign:sweep}:placing")
        assert {run_id.decode() for run_id in known} == self.model.placing.keys()
        # Who holds or wants hosts is under way, is to begin, or has ended and will be looked at.
        for name in self.model.granted:
            assert name in self.model.placing

    def _state(self) -> dict[str, str]:
        raw: Any = self.player.redis.hgetall("nepiq:{campaign:sweep}:state")
        return {name.decode(): value.decode() for name, value in raw.items()}


def wants_of(slot: Slot) -> list[Want]:
    """The hosts that the run for a slot can use: from none to three."""
    count = slot.number % 4
    if not count:
        return []
    first = slot.number % 3
    return [Want(list(range(2, 2 + count)), HOSTS[first : first + 3])]


def replace_origin(slot: Any) -> Any:
    """A slot as one that is under way."""
    return slot._replace(origin="")


def one_step(both: Both, chance: random.Random) -> None:
    """Do something."""
    [name] = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    match name:
        case "take" | "measure":
            getattr(both, name)(chance.choice(CLAIMANTS[name]))
        case "work":
            both.work(chance.choice(WORKERS), chance.choice(VERDICTS))
        case "give_back":
            both.give_back(chance.choice(WORKERS), chance.choice(["", "the disk is full"]))
        case "measured":
            both.measured(chance.choice(READERS), chance.choice(MEASURED))
        case "end" | "foreign":
            getattr(both, name)(chance.randrange(6))
        case "verb":
            # Mostly it goes on.
            both.verb(chance.choice(["pause", "stop", "cancel", *["resume"] * 3]))
        case "retry":
            both.verb("retry", chance.choice(["", "a", "c"]))
        case "set" | "rank":
            both.verb(name, chance.randint(*RANGES[name]))
        case "add":
            both.add(chance.randint(1, 3))
        case _:
            getattr(both, name)()


@pytest.mark.parametrize(
    ("seed", "places"),
    [*((seed, False) for seed in SEEDS), *((seed, True) for seed in PLACED_SEEDS)],
)
def test_random_calls(redis_client: Redis, seed: int, places: bool) -> None:
    chance = random.Random(seed)
    total, parallel, most = chance.randint(1, 9), chance.randint(1, 3), chance.choice([None, 2])
    ahead = chance.choice([None, 0, 2])
    both = Both(redis_client, total, parallel, most, ahead, places=places)
    both.check()
    for _ in range(STEPS):
        one_step(both, chance)
        both.check()
    # Whatever has happened, it can be brought to its end.
    both.verb("resume")
    both.lose()
    both.lose_reader()
    for number, run_id in enumerate(FOREIGN):
        if f"{run_id}/1" in both.pool.requests:
            both.foreign(number)
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
    both.sweep_pool()
    assert both.pool.leases == {}
    assert redis_client.keys("nepiq:{pools}:*") in ([], [b"nepiq:{pools}:token"])
