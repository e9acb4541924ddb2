"""The queue of requests for hosts: the scripts against the reference model, and its promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from tests.reference.pools import PoolModel

from nepiq.controller.engine.campaign_records import Placing, Slot
from nepiq.controller.engine.campaigns import CampaignStore
from nepiq.controller.engine.pools import PoolStore, Wake, request_id
from nepiq.controller.engine.store import keys
from nepiq.controller.model.pools import Want

pytestmark = pytest.mark.needs("redis-server")

HOSTS = [f"h{number}:22" for number in range(1, 7)]
RUNS = ["a", "b", "c", "d", "e", "f", "g"]
_STEP = "1.deploy"
_LIMITS = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)

some_runs = st.lists(st.sampled_from(RUNS), max_size=2, unique=True)
some_hosts = st.lists(st.sampled_from(HOSTS), min_size=1, max_size=6, unique=True)


@st.composite
def wishes(draw: st.DrawFn) -> list[Want]:
    """What a request wants, also what it can never get."""
    wants, guid = [], 2
    for hosts in draw(st.lists(some_hosts, min_size=1, max_size=2)):
        count = draw(st.integers(1, 3))
        wants.append(Want(list(range(guid, guid + count)), hosts))
        guid += count
    return wants


calls = st.one_of(
    st.tuples(st.just("request"), st.sampled_from(RUNS), wishes()),
    st.tuples(st.just("give back"), st.sampled_from(RUNS), st.one_of(st.none(), st.integers(2, 4))),
    st.tuples(st.just("sweep"), some_runs, some_runs),
)


def fresh(redis: Redis, most_overtaken: int = 2) -> PoolStore:
    redis.flushall()
    return PoolStore(redis, most_overtaken=most_overtaken)


def request(store: PoolStore, run: str, wants: Sequence[Want]) -> str:
    return store.request(run, 1, _STEP, wants)[0]


def held(store: PoolStore, run: str) -> set[str]:
    return {host for host, lease in store.allocation().leases.items() if lease.run_id == run}


def check(store: PoolStore, model: PoolModel) -> None:
    """Hold both against each other, and each request against what it may have."""
    allocation = store.allocation()
    leases = {host: (item.request, item.guid) for host, item in allocation.leases.items()}
    assert leases == model.leases
    assert [item.id for item in allocation.queue] == model.queue
    for item in allocation.queue:
        assert item.overtaken == model.requests[item.id].overtaken <= 2
        assert not any(owner == item.id for owner, _ in leases.values()), "a part of a request"
    tokens = [item.token for item in allocation.leases.values()]
    by_request = {item.request: item.token for item in allocation.leases.values()}
    assert set(tokens) == set(by_request.values())
    assert len(set(by_request.values())) == len(by_request)


def _unused(model: PoolModel, runs: list[str]) -> list[str]:
    """Those of the runs whose requests wait; the model does not know who has received a grant."""
    granted = {item.run for name, item in model.requests.items() if name not in model.queue}
    return [run for run in runs if run not in granted]


@_LIMITS
@given(played=st.lists(calls, max_size=25), twice=st.booleans())
def test_any_calls_as_in_the_model(redis_client: Redis, played: list[Any], twice: bool) -> None:
    store, model = fresh(redis_client), PoolModel(2)
    for name, what, *rest in played:
        halted = _unused(model, rest[0]) if name == "sweep" else []
        for _ in range(1 + twice):  # a client whose reply was lost calls again
            if name == "request":
                status = request(store, what, rest[0])
            elif name == "give back":
                store.give_back(what, 1, rest[0])
            else:
                runs, _ = store.sweep(what, halted)
        if name == "request":
            assert status == model.request(request_id(what, 1), what, rest[0])
        elif name == "give back":
            model.give_back(request_id(what, 1), what, rest[0])
        else:
            assert set(runs) == model.sweep(what, halted)
        check(store, model)
    # However it was left: when all runs are over nothing is held, and nothing waits.
    store.sweep(RUNS)
    assert store.allocation().leases == {}
    assert store.allocation().queue == []
    assert redis_client.hlen(keys.POOLS + "requests") == 0


@_LIMITS
@given(
    big=st.integers(2, 6),
    small=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=20, max_size=20),
)
def test_a_big_request_is_not_starved(
    redis_client: Redis, big: int, small: list[tuple[int, int]]
) -> None:
    store = fresh(redis_client, most_overtaken=3)
    assert request(store, "first", [Want([2], HOSTS[:1])]) == "OK"
    assert request(store, "big", [Want(list(range(2, 2 + big)), HOSTS[:big])]) == "WAITING"
    running = ["first"]
    for number, (count, age) in enumerate(small):
        name = f"small-{number}"
        request(store, name, [Want(list(range(2, 2 + count)), HOSTS)])
        running.append(name)
        if len(running) > 2 + age:  # the oldest ends; some end sooner, some later
            store.give_back(running.pop(0), 1)
        waiting = {item.run_id: item for item in store.allocation().queue}
        if "big" not in waiting:
            break
        assert waiting["big"].overtaken <= 3
    else:
        # No small one that came later is granted what the big one needs: it is next.
        for name in running:
            if held(store, name):
                store.give_back(name, 1)
            if len(held(store, "big")) == big:
                break
    assert len(held(store, "big")) == big


class Rivals:
    """Campaigns of different priorities on one pool.

    Args:
        redis: the installation.
        priorities: of the campaigns by name.
        hosts: what each run can use.
    """

    def __init__(self, redis: Redis, priorities: dict[str, int], hosts: list[str]) -> None:
        self.pools = fresh(redis, most_overtaken=4)
        self.hosts = hosts
        self.granted: list[str] = []
        self._placed = dict.fromkeys(priorities, 0)
        for name, priority in priorities.items():
            store = CampaignStore(redis, name, "main", lambda: cast(Any, None))
            store.create("digest", {}, parallel=1000, priority=priority)
            redis.hset(f"nepiq:{{campaign:{name}}}:state", "token", "1")

    def place(self, name: str, count: int, size: int = 1) -> None:
        """Request so many hosts for each of some runs of a campaign."""
        first = self._placed[name]
        self._placed[name] += count
        wants = [Want(list(range(2, 2 + size)), self.hosts)]
        runs = [
            Placing(f"{name}-{number}", 1, Slot(number), wants)
            for number in range(first, first + count)
        ]
        self._note(self.pools.place(name, "1", [], [], runs))

    def end(self, run: str) -> None:
        """Give back the hosts of a run."""
        self._note(self.pools.place(run.rpartition("-")[0], "1", [(run, 1)], [], []))

    def waiting(self) -> list[str]:
        """The runs in the queue."""
        return [item.run_id for item in self.pools.allocation().queue]

    def _note(self, answer: tuple[str, Any]) -> None:
        assert answer[0] == "OK"
        leases = sorted(self.pools.allocation().leases.values(), key=lambda lease: lease.token)
        runs = dict.fromkeys(lease.run_id for lease in leases)
        self.granted += [run for run in runs if run not in self.granted]


def test_of_two_campaigns_that_with_higher_priority_is_served_first(redis_client: Redis) -> None:
    rivals = Rivals(redis_client, {"low": 0, "high": 3}, HOSTS[:1])
    rivals.place("low", 4)
    rivals.place("high", 8)
    for _ in range(20):
        name = rivals.granted[-1]
        rivals.end(name)
        rivals.place(name.rpartition("-")[0], 1)
    names = [run.rpartition("-")[0] for run in rivals.granted]
    assert names == ["low", *(["high"] * 4 + ["low"]) * 4]
    # Each in the order in which it has requested.
    for name in ("low", "high"):
        numbers = [int(run.rpartition("-")[2]) for run in rivals.granted if run.startswith(name)]
        assert numbers == sorted(numbers)


def test_a_big_request_of_low_priority_is_not_starved(redis_client: Redis) -> None:
    rivals = Rivals(redis_client, {"low": -1, "high": 0}, HOSTS[:3])
    rivals.place("high", 3)
    rivals.place("low", 1, size=3)
    rivals.place("high", 10)
    for number in range(4):
        assert "low-0" in rivals.waiting()
        rivals.end(f"high-{number}")
    # From now on the hosts are kept for it.
    assert rivals.waiting()[0] == "low-0"
    for number in (4, 5, 6):
        rivals.end(f"high-{number}")
    assert rivals.granted[-1] == "low-0"


def test_a_script_is_between_campaigns_of_higher_and_lower_priority(redis_client: Redis) -> None:
    rivals = Rivals(redis_client, {"low": -1, "high": 1}, HOSTS[:1])
    rivals.place("low", 2)
    request(rivals.pools, "script", [Want([2], HOSTS[:1])])
    rivals.place("high", 1)
    assert rivals.waiting() == ["high-0", "script", "low-1"]


def test_small_ones_fill_gaps(redis_client: Redis) -> None:
    store = fresh(redis_client)
    assert request(store, "running", [Want([2, 3], HOSTS[:3])]) == "OK"
    assert request(store, "big", [Want([2, 3, 4], HOSTS[:3])]) == "WAITING"
    assert request(store, "small", [Want([2], HOSTS[:3])]) == "OK"
    assert held(store, "small") == {HOSTS[2]}
    store.give_back("small", 1)
    assert request(store, "second", [Want([2], HOSTS[:3])]) == "OK"
    store.give_back("second", 1)
    # It has been overtaken twice, which is the most: the free host is kept for it.
    assert request(store, "third", [Want([2], HOSTS[:3])]) == "WAITING"
    assert store.allocation().queue[0].kept
    store.give_back("running", 1)
    assert held(store, "big") == set(HOSTS[:3])


def test_what_is_kept_is_no_more_than_it_needs(redis_client: Redis) -> None:
    store = fresh(redis_client, most_overtaken=0)
    assert request(store, "running", [Want([2], HOSTS[:1])]) == "OK"
    assert request(store, "waiting", [Want([2], HOSTS[:1]), Want([3], HOSTS[1:4])]) == "WAITING"
    assert request(store, "other", [Want([2, 3], HOSTS[1:4])]) == "OK"
    assert request(store, "one more", [Want([2], HOSTS[1:4])]) == "WAITING"


def test_hosts_are_kept_after_some_time(redis_client: Redis) -> None:
    redis_client.flushall()
    store = PoolStore(redis_client, most_overtaken=1000, patience=0.0)
    assert request(store, "running", [Want([2], HOSTS[:2])]) == "OK"
    assert request(store, "big", [Want([2, 3], HOSTS[:2])]) == "WAITING"
    assert request(store, "small", [Want([2], HOSTS[:2])]) == "WAITING"


def test_who_is_granted_is_woken_until_it_knows(redis_client: Redis) -> None:
    store = fresh(redis_client)
    assert request(store, "one", [Want([2], HOSTS[:1])]) == "OK"
    assert request(store, "two", [Want([2], HOSTS[:1])]) == "WAITING"
    wakes = store.give_back("one", 1)
    assert wakes == [Wake("two", _STEP)]
    assert store.sweep()[1] == wakes, "the worker may have died before it woke the step"
    status, _, leases, wakes = store.request("two", 1, _STEP, [])
    assert (status, wakes) == ("OK", [])
    assert {guid: lease.host for guid, lease in leases.items()} == {2: HOSTS[0]}
    assert store.sweep() == (["one", "two"], []) or store.sweep() == (["two", "one"], [])


def test_a_run_that_has_failed_leaves_the_queue(redis_client: Redis) -> None:
    store = fresh(redis_client)
    assert request(store, "one", [Want([2], HOSTS[:1])]) == "OK"
    assert request(store, "failed", [Want([2], HOSTS[:1])]) == "WAITING"
    assert request(store, "next", [Want([2], HOSTS[:1])]) == "WAITING"
    store.give_back("one", 1)
    # It was granted, but its step will not run any more.
    assert held(store, "failed") == {HOSTS[0]}
    assert store.sweep(halted=["failed", "one"])[1] == [Wake("next", _STEP)]
    assert held(store, "next") == {HOSTS[0]}
    assert request(store, "failed", [Want([2], HOSTS)]) == "CLOSED"
    # What is in use stays.
    assert request(store, "next", [Want([2], HOSTS)]) == "OK"
    store.sweep(halted=["next"])
    assert held(store, "next") == {HOSTS[0]}


def test_a_late_attempt_requests_nothing(redis_client: Redis) -> None:
    store = fresh(redis_client)
    store.give_back("run", 1)
    assert request(store, "run", [Want([2], HOSTS)]) == "CLOSED"
    assert store.allocation().leases == {}


def test_a_hundred_of_four_hundred(redis_client: Redis) -> None:
    """Requests and hosts in the number of a large installation are decided at once."""
    store = fresh(redis_client)
    hosts = [f"h{number}:22" for number in range(400)]
    assert request(store, "all", [Want(list(range(2, 402)), hosts)]) == "OK"
    for number in range(100):
        wanted = [Want(list(range(2, 42)), hosts)]
        assert request(store, f"run-{number}", wanted) == "WAITING"
    slow = redis_client.config_get("slowlog-log-slower-than")
    redis_client.config_set("slowlog-log-slower-than", 500_000)
    redis_client.slowlog_reset()
    store.give_back("all", 1)
    assert redis_client.slowlog_len() == 0
    redis_client.config_set("slowlog-log-slower-than", slow["slowlog-log-slower-than"])
    assert len(store.allocation().leases) == 400
