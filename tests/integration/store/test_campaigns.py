"""The scripts of campaigns, each executed once and twice."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from redis import Redis
from tests.integration.store.dump import dump

from nepiq.controller.engine.campaign_records import (
    Begin,
    Entry,
    Fold,
    Placing,
    Refusal,
    Skip,
    Slot,
    Taken,
)
from nepiq.controller.engine.campaigns import CampaignStore
from nepiq.controller.engine.pools import PoolStore
from nepiq.controller.engine.store import Outcome, Reply, RunStore, Timing, keys
from nepiq.controller.engine.store.calls import Claim
from nepiq.controller.engine.store.scripts import Argument
from nepiq.controller.engine.store.wire import spec_arguments
from nepiq.controller.model.pools import Want
from nepiq.controller.model.spec import ResourceSpec

_TIMES = {"sent", "lease", "reading"}


class Publisher:
    """Counts the steps of campaigns that were dispatched."""

    def __init__(self) -> None:
        self.sent = 0

    def advance(self, _: str) -> None:
        """Count one."""
        self.sent += 1


class TwiceCampaign(CampaignStore):
    """Executes each script twice, as a client does whose reply was lost, and compares."""

    def _ask(self, name: str, *args: Argument) -> list[Any]:
        first = super()._ask(name, *args)
        once = self._dump()
        super()._ask(name, *args)
        assert self._dump() == once, f"{name} executed twice differs from once"
        return first

    def settle(
        self, token: str, folds: Sequence[Fold], begins: Sequence[Begin | Refusal]
    ) -> tuple[list[str], list[Reply]]:
        """Execute all scripts once, and once more."""
        first = super().settle(token, folds, begins)
        once = self._dump()
        super().settle(token, folds, begins)
        assert self._dump() == once, "scripts executed twice differ from once"
        return first

    def measured(self, nonce: str, fold: Fold) -> bool:
        """Execute the script once, and once more."""
        first = super().measured(nonce, fold)
        once = self._dump()
        super().measured(nonce, fold)
        assert self._dump() == once, "a measured run entered twice differs from once"
        return first

    def _dump(self) -> dict[str, Any]:
        dumped = dump(self._redis, self._prefix)
        state = dumped.get("state", {})
        dumped["state"] = {name: value for name, value in state.items() if name not in _TIMES}
        return dumped


class Player:
    """A client and workers of a campaign of runs with one resource."""

    def __init__(self, redis: Redis, kind: type[CampaignStore], **timing: Any) -> None:
        self.redis = redis
        self.publisher = Publisher()
        self.timing = Timing(**{"lease": 30.0, **timing})
        self.store = kind(redis, "sweep", "main", lambda: self.publisher, self.timing)  # type: ignore[arg-type,return-value]
        self._runs = 0

    def submit(
        self,
        count: int,
        parallel: int = 2,
        most: int | str = "",
        ahead: int | None = None,
        *,
        places: bool = False,
    ) -> None:
        """Make the campaign with one space."""
        fields: dict[str, int | str] = {"parallel": parallel}
        fields |= {"max_failures": most, "most_failures": most}
        if ahead is not None:
            fields["ahead"] = ahead
        if places:
            fields["places"] = 1
        assert self.store.create("digest", {"a": 1}, **fields) == ("OK", True)
        assert self.store.add("first", 0, count, {}) == "OK"

    def take(self, nonce: str = "n", released: Sequence[str] = ()) -> Taken | None:
        """Claim the step, or go on with it."""
        return self.store.take(nonce, "worker", released)

    def begin(self, taken: Taken) -> list[str]:
        """Begin what was taken; the ids of the runs."""
        begins = [Begin(self.new_id(), slot, self.arguments()) for slot in taken.slots]
        _, replies = self.store.settle(taken.token, [], begins)
        assert [reply.status for reply in replies] == ["OK"] * len(begins)
        return [item.run_id for item in begins]

    def new_id(self) -> str:
        """An id for a run."""
        self._runs += 1
        return f"{20261122101112131415 + self._runs}"

    def arguments(self) -> list[Argument]:
        """The compiled description of a run."""
        spec = ResourceSpec(1, "nepiq::Null", "only", batch=True)
        return ["exp", "", 1, "1", *spec_arguments("sweep", spec, goal=True)]

    def carry_out(self, run_id: str, outcome: str = "FINISHED") -> Reply:
        """Play the worker of a run until it is released; the last reply."""
        store = RunStore(self.redis, run_id, self.timing)
        self._do(store, "1.deploy", "ok")
        self._do(store, "1.start", outcome)
        return self._do(store, "1.release", "ok")

    def _do(self, store: RunStore, step: str, kind: str) -> Reply:
        _, [claim] = store.claim([step], f"{store.run_id}{step}", "worker", "here")
        assert isinstance(claim, Claim), step
        info = {"message": "wrong", "type": "CommandError"} if kind == "failed" else None
        reply, [status] = store.commit([Outcome(step, claim.token, kind, info=info)])
        assert status == "OK"
        return reply

    def rows(self) -> list[str]:
        """The rows."""
        return [entry.row for entry in self.store.history() if entry.row]


@pytest.fixture(params=[CampaignStore, TwiceCampaign], ids=["once", "twice"])
def player(redis_client: Redis, request: pytest.FixtureRequest) -> Player:
    """A campaign that does not exist yet."""
    redis_client.flushall()
    return Player(redis_client, request.param)


def fold(run_id: str, verdict: str = "row", outcome: str = "finished", cause: str = "") -> Fold:
    """The end of a run."""
    return Fold(run_id, verdict, outcome != "finished", outcome, cause, f'"{run_id}"')


def test_a_run_from_its_begin_to_its_row(player: Player) -> None:
    assert player.take() is None
    player.submit(3)
    assert player.publisher.sent == 1
    taken = player.take()
    assert taken is not None
    assert taken.slots == [Slot(0), Slot(1)]
    first, second = player.begin(taken)
    assert player.take() is None
    record = player.store.record()
    assert record is not None
    assert (record.begun, record.active, record.phase) == (2, 2, "running")

    # The end of a run makes the step due, once.
    assert player.carry_out(first).campaign == "sweep"
    assert player.carry_out(second).campaign == ""
    taken = player.take("other")
    assert taken is not None
    assert sorted(taken.over) == [first, second]
    assert taken.slots == [Slot(2)]
    statuses, _ = player.store.settle(taken.token, [fold(first), fold(second)], [])
    assert statuses == ["OK", "OK"]
    assert player.rows() == [f'"{first}"', f'"{second}"']
    assert player.redis.keys(r"nepiq:{2*") == []
    taken = player.take("other")
    assert taken is not None
    [third] = player.begin(taken)
    assert player.take("other") is None
    player.carry_out(third)
    taken = player.take()
    assert taken is not None
    player.store.settle(taken.token, [fold(third)], [])
    assert player.take() is None
    record = player.store.record()
    assert record is not None
    assert (record.phase, record.finished, record.active) == ("finished", 3, 0)
    assert not player.redis.exists(keys.active("main"), keys.campaigns("main"))


def test_one_worker_at_a_time(player: Player) -> None:
    player.submit(3)
    taken = player.take("one")
    assert taken is not None
    assert player.take("two") is None
    # The holder looks again before it lets go, so nothing is dispatched meanwhile.
    player.store.add("second", 1, 1, {})
    assert player.publisher.sent == 1
    again = player.take("one")
    assert again is not None
    assert again.token == taken.token


def test_a_worker_that_lost_its_claim_changes_nothing(player: Player) -> None:
    player.timing = Timing(lease=0.001, grace=0.0)
    player.store._timing = player.timing
    player.submit(2)
    stale = player.take("one")
    assert stale is not None
    [first, _] = player.begin(stale)
    player.carry_out(first)
    time.sleep(0.005)  # the lease runs out
    player.store.sweep()
    taken = player.take("two")
    assert taken is not None
    assert int(taken.token) > int(stale.token)
    begin = Begin(player.new_id(), Slot(2), player.arguments())
    statuses, [reply] = player.store.settle(stale.token, [fold(first)], [begin])
    assert (statuses, reply.status) == (["STALE"], "STALE")
    assert player.rows() == []
    assert not RunStore(player.redis, begin.run_id).meta()


def test_a_worker_that_cannot_do_the_work_gives_the_step_back(player: Player) -> None:
    player.submit(2)
    taken = player.take("one")
    assert taken is not None
    player.store.give_back("other", "running", "it has no claim")
    player.store.give_back("one", "running", "the disk is full", held=True)
    record = player.store.record()
    assert record is not None
    assert (record.phase, record.why, record.held) == ("paused", "the disk is full", True)
    # A verb sends it at once, the sweeper does after a while.
    sent = player.publisher.sent
    player.store.sweep()
    assert player.publisher.sent == sent
    player.store.change("resume")
    assert player.publisher.sent == sent + 1
    assert player.take("two") is not None
    player.store.give_back("two", "running")
    player.store.sweep()
    assert player.publisher.sent == sent + 1
    player.redis.hset("nepiq:{campaign:sweep}:state", "retry", time.time() - 1.0)
    player.store.sweep()
    assert player.publisher.sent == sent + 2


def test_a_verb_while_a_worker_cannot_do_the_work_is_carried_out_at_once(player: Player) -> None:
    player.submit(2)
    taken = player.take("one")
    assert taken is not None
    player.store.change("cancel")
    sent = player.publisher.sent
    player.store.give_back("one", taken.state["phase"], "the disk is full")
    assert player.publisher.sent == sent + 1
    assert player.take("two") is None
    record = player.store.record()
    assert record is not None
    assert (record.phase, record.why) == ("cancelled", "")


def test_slots_are_begun_in_order_and_no_more_than_allowed(player: Player) -> None:
    player.submit(5, parallel=1)
    taken = player.take()
    assert taken is not None
    begins = [Begin(player.new_id(), Slot(n), player.arguments()) for n in (1, 0, 1)]
    _, replies = player.store.settle(taken.token, [], begins)
    if type(player.store) is CampaignStore:
        assert [reply.status for reply in replies] == ["STALE", "OK", "FULL"]
    record = player.store.record()
    assert record is not None
    assert record.active == 1


def test_another_attempt_is_begun_before_the_rest(player: Player) -> None:
    player.submit(3, parallel=1)
    taken = player.take()
    assert taken is not None
    [first] = player.begin(taken)
    player.take()
    player.carry_out(first, "failed")
    taken = player.take("b")
    assert taken is not None
    player.store.settle(taken.token, [fold(first, "again", "failed")], [])
    taken = player.take("b")
    assert taken is not None
    assert taken.slots == [Slot(0, 2, "again")]
    assert player.rows() == []
    [second] = player.begin(taken)
    assert player.store.entries([first, second]) == {second: Slot(0, 2, "")}


def test_too_many_failures_pause_it(player: Player) -> None:
    player.submit(4, parallel=2, most=1)
    taken = player.take()
    assert taken is not None
    first, second = player.begin(taken)
    player.take()
    player.carry_out(first, "failed")
    taken = player.take("b")
    assert taken is not None
    player.store.settle(taken.token, [fold(first, outcome="failed", cause="it broke")], [])
    record = player.store.record()
    assert record is not None
    assert (record.phase, record.why, record.failed) == ("paused", "1 runs failed", 1)
    assert player.take("b") is None
    assert list(player.store.failed()) == [(0, first, "failed", "it broke")]
    # The records of the failed run stay for the retention.
    assert player.redis.zscore(keys.ENDED, first) is not None
    assert player.store.change("retry", "another cause") == ("OK", 0)
    assert player.store.change("retry", "it broke") == ("OK", 1)
    assert player.rows() == []
    player.store.change("resume")
    taken = player.take("c")
    assert taken is not None
    assert taken.slots == [Slot(0, 1, "again")]
    assert second in player.store.active()


def test_cancelled_runs_have_no_row(player: Player) -> None:
    player.submit(4)
    taken = player.take()
    assert taken is not None
    first, second = player.begin(taken)
    player.take()
    player.store.change("cancel")
    taken = player.take("b")
    assert taken is not None
    assert sorted(taken.releases) == [first, second]
    for run_id in taken.releases:
        RunStore(player.redis, run_id, player.timing).release("cancel")
    taken = player.take("b", taken.releases)
    assert taken is not None  # nothing was claimed yet, so both are released
    folds = [fold(run_id, outcome="cancelled") for run_id in taken.over]
    player.store.settle(taken.token, folds, [])
    assert player.take("b") is None
    record = player.store.record()
    assert record is not None
    assert (record.phase, record.done, record.active) == ("cancelled", 0, 0)
    assert player.redis.keys(r"nepiq:{2*") == []
    player.store.change("resume")
    taken = player.take("c")
    assert taken is not None
    assert {slot.number for slot in taken.slots} == {0, 1}


def test_a_slot_without_a_run(player: Player) -> None:
    player.submit(2)
    taken = player.take()
    assert taken is not None
    player.store.settle(taken.token, [], [Refusal(Slot(0), "InvalidValue: no", '"none"')])
    assert player.rows() == ['"none"']
    taken = player.take()
    assert taken is not None
    assert taken.slots == [Slot(1)]
    player.store.settle(taken.token, [], [Skip(Slot(1))])
    assert player.take() is None
    record = player.store.record()
    assert record is not None
    assert (record.phase, record.failed, record.skipped) == ("finished", 1, 1)


def test_samples_of_a_point_are_kept_until_there_are_enough(player: Player) -> None:
    player.submit(2)
    taken = player.take()
    assert taken is not None
    first, second = player.begin(taken)
    player.take()
    for number, run_id in enumerate((first, second)):
        player.carry_out(run_id)
        taken = player.take(str(number))
        assert taken is not None
        end = fold(run_id)._replace(point=7, samples='{"runs":1}', enough=number == 1)
        player.store.settle(taken.token, [end], [])
        assert player.take(str(number)) is None
        assert player.store.samples([7, 8]) == ({} if number else {7: {"runs": 1}})
        assert player.store.enough([6, 7]) == [False, number == 1]


def test_a_run_waits_for_a_script_that_measures_it(player: Player) -> None:
    player.submit(3, parallel=1, ahead=0)
    taken = player.take()
    assert taken is not None
    [first] = player.begin(taken)
    player.take()
    player.carry_out(first)
    taken = player.take("b")
    assert taken is not None
    player.store.settle(taken.token, [fold(first, "wait")], [])
    # It takes the place of one under way, and nothing looks after the campaign meanwhile.
    assert player.take("b") is None
    assert not player.redis.exists(keys.campaigns("main"))
    assert RunStore(player.redis, first).meta() is not None
    record = player.store.record()
    assert record is not None
    assert (record.phase, record.active, record.waiting, record.done) == ("running", 0, 1, 0)
    [entry] = [entry for entry in player.store.history() if entry.waits]
    assert entry.waits == first

    assert player.store.measure("m") == [(first, Slot(0, 1, ""), f'"{first}"')]
    assert player.store.measure("other") is None
    assert not player.store.measured("other", fold(first))
    sent = player.publisher.sent
    assert player.store.measured("m", fold(first))
    assert player.publisher.sent == sent + 1
    assert player.rows() == [f'"{first}"']
    assert [entry for entry in player.store.history() if entry.waits] == []
    assert player.redis.keys(r"nepiq:{2*") == []
    assert player.store.measure("m") == []
    assert player.store.measure("other") == []
    taken = player.take("c")
    assert taken is not None
    assert taken.slots == [Slot(1)]


def test_a_process_that_stops_measuring_is_replaced(player: Player) -> None:
    player.timing = Timing(lease=0.001)
    player.store._timing = player.timing
    player.submit(1, ahead=10)
    taken = player.take()
    assert taken is not None
    [first] = player.begin(taken)
    player.carry_out(first)
    player.store.settle(taken.token, [fold(first, "wait")], [])
    assert player.store.measure("killed")
    time.sleep(0.005)  # its claim runs out
    assert player.store.measure("other")
    assert not player.store.measured("killed", fold(first))
    assert player.store.measured("other", fold(first))


def test_what_waits_in_a_removed_campaign_is_deleted(player: Player) -> None:
    player.submit(1, ahead=10)
    taken = player.take()
    assert taken is not None
    [first] = player.begin(taken)
    player.carry_out(first)
    player.store.settle(taken.token, [fold(first, "wait")], [])
    player.store.remove()
    assert player.redis.zscore(keys.ENDED, first) == 0
    assert player.redis.keys("nepiq:{campaign:*") == []


def test_a_campaign_that_was_removed_gets_no_hosts(player: Player) -> None:
    pools = PoolStore(player.redis)
    assert pools.request("script", 1, "1.deploy", [Want([2], ["a:22"])])[0] == "OK"
    player.submit(2, places=True)
    taken = player.take()
    assert taken is not None
    assert taken.places
    runs = [Placing(player.new_id(), 1, slot, [Want([2], ["a:22"])]) for slot in taken.slots]
    assert pools.place("sweep", taken.token, [], [], runs) == ("OK", [])
    assert [item.campaign for item in pools.allocation().queue] == ["sweep"] * 2
    player.store.remove()
    assert pools.give_back("script", 1) == []
    assert (pools.allocation().leases, pools.allocation().queue) == ({}, [])
    assert player.redis.keys("nepiq:{campaign:*") == []


def test_hosts_in_quarantine_are_left_out_unless_a_run_needs_them(player: Player) -> None:
    pools = PoolStore(player.redis)

    def placed(guids: list[int], seconds: float) -> list[str]:
        player.redis.flushall()
        player.submit(1, places=True)
        taken = player.take()
        assert taken is not None
        player.store.judge(taken.token, {"kept": 1}, {"a:22": time.time() + seconds})
        assert player.store.quarantine() == {"kept": 1}
        run = Placing(player.new_id(), 1, taken.slots[0], [Want(guids, ["a:22", "b:22"])])
        pools.place("sweep", taken.token, [], [], [run])
        taken = player.take()
        assert taken is not None
        return sorted(lease.host for item in taken.placed for lease in item.leases.values())

    assert placed([2], 60.0) == ["b:22"]
    assert placed([2], -1.0) == ["a:22"]
    assert placed([2, 3], 60.0) == ["a:22", "b:22"]


def test_hosts_on_which_a_slot_has_failed_are_kept_until_it_has_a_row(player: Player) -> None:
    player.submit(1)
    for nonce, hosts in (("a", "a:22"), ("b", "b:22 c:22")):
        taken = player.take(nonce)
        assert taken is not None
        [run_id] = player.begin(taken)
        player.take(nonce)
        player.carry_out(run_id, "failed")
        taken = player.take(nonce + "2")
        assert taken is not None
        end = fold(run_id, "again", "failed")._replace(avoid=hosts)
        player.store.settle(taken.token, [end], [])
        player.redis.hset("nepiq:{campaign:sweep}:state", "lease", 0)
        player.store.sweep()
    assert player.store.avoided([0, 1]) == [["a:22", "b:22", "c:22"], []]
    taken = player.take("c")
    assert taken is not None
    [run_id] = player.begin(taken)
    player.take("c")
    player.carry_out(run_id)
    taken = player.take("c2")
    assert taken is not None
    player.store.settle(taken.token, [fold(run_id)], [])
    assert player.store.avoided([0]) == [[]]


def test_causes_of_runs_that_are_begun_again_are_counted(player: Player) -> None:
    player.submit(1)
    taken, last = player.take("a"), ""
    causes = ("refused | x", "rebooted", "", "refused | x", "refused | x")
    blamed = ("a:22 b:22", "", "", "b:22 c:22", "c:22")
    for cause, hosts in zip(causes, blamed, strict=True):
        assert taken is not None
        [last] = player.begin(taken)
        player.take("a")
        player.carry_out(last, "failed")
        taken = player.take("a")
        assert taken is not None
        end = fold(last, "again", "failed", cause)._replace(avoid=hosts)
        for _ in range(2):  # a worker repeats what it had no answer for
            player.store.settle(taken.token, [end], [])
        taken = player.take("a")
    counted = player.store.repeated()
    assert counted["refused | x"] == (3, last, ["a:22", "b:22", "c:22"])
    assert counted["rebooted"][::2] == (1, [])
    assert len(counted) == 2


def test_a_run_whose_records_were_deleted_is_begun_again(player: Player) -> None:
    player.submit(1)
    taken = player.take()
    assert taken is not None
    [first] = player.begin(taken)
    assert player.take() is None
    player.redis.delete(*player.redis.keys(rf"nepiq:{{{first}}}:*"))
    player.store.sweep()
    taken = player.take("b")
    assert taken is not None
    assert taken.over == [first]
    player.store.settle(taken.token, [fold(first, "again", "cancelled")], [])
    taken = player.take("b")
    assert taken is not None
    assert taken.slots == [Slot(0, 2, "again")]


def test_of_two_clients_that_add_at_once_one_looks_again(player: Player) -> None:
    player.submit(2)
    assert player.store.add("second", 1, 1, {}) == "OK"
    assert player.store.add("third", 1, 1, {}) == "CHANGED"
    assert player.store.add("second", 1, 1, {}) == "OK"
    assert player.store.add("third", 2, 1, {}) == "OK"
    record = player.store.record()
    assert record is not None
    assert record.total == 4


def test_phases_are_in_the_history(player: Player) -> None:
    player.submit(1)
    for verb in ("pause", "pause", "resume", "stop"):
        player.store.change(verb)
    entries = player.store.history()
    assert [entry.phase for entry in entries] == ["running", "paused", "running", "stopped"]
    assert player.store.history(entries[-1].id) == []
    assert all(isinstance(entry, Entry) for entry in entries)
    assert player.store.definition() == {"a": 1}
    assert json.loads(json.dumps(player.store.segments())) == [{}]
