"""Which worker the steps on a host go to."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from redis import ConnectionError as NoConnection

from nepiq.controller.engine.membership import WorkerInfo
from nepiq.controller.engine.messaging import affinity
from nepiq.controller.engine.messaging.affinity import PREFERRED_ATTEMPTS, Affinity

SITE = "nepiq.default"
HOSTS = [f"{SITE}@lab@host-{n}:22" for n in range(600)]


def worker(name: str, *, own: bool = True, seen: float = 0.0, draining: bool = False) -> WorkerInfo:
    queues = ("nepiq", SITE, f"{SITE}@{name}") if own else ("nepiq", SITE)
    return WorkerInfo(name, "there", queues, 1, "1", seen, draining=draining)


def among(*workers: WorkerInfo) -> dict[str, str]:
    """The home of each host."""
    known = Affinity(lambda: workers)
    return {host: known.worker(host) for host in HOSTS}


def test_all_agree_whatever_the_order_in_which_they_know_the_workers() -> None:
    one, two, three = worker("a"), worker("b"), worker("c")
    assert among(one, two, three) == among(three, one, two)


def test_each_worker_gets_its_share() -> None:
    counted = Counter(among(*(worker(f"w{n}") for n in range(4))).values())
    assert len(counted) == 4
    assert all(100 <= count <= 200 for count in counted.values()), counted


def test_who_joins_gets_its_share_and_no_other_host_moves() -> None:
    before = among(worker("a"), worker("b"), worker("c"))
    after = among(worker("a"), worker("b"), worker("c"), worker("d"))
    moved = {host for host in HOSTS if before[host] != after[host]}
    assert {after[host] for host in moved} == {"d"}
    assert 100 <= len(moved) <= 200


def test_who_leaves_leaves_its_hosts_to_all_others() -> None:
    before = among(worker("a"), worker("b"), worker("c"))
    after = among(worker("a"), worker("b"))
    assert {host for host in HOSTS if before[host] != after[host]} == {
        host for host, home in before.items() if home == "c"
    }


@pytest.mark.parametrize(
    "other",
    [worker("b", own=False), worker("b", seen=60.0), worker("b", draining=True)],
    ids=["of an older version", "silent", "draining"],
)
def test_who_cannot_be_a_home(other: WorkerInfo) -> None:
    assert set(among(worker("a"), worker("c"), other).values()) == {"a", "c"}


def test_a_worker_that_is_alone_serves_what_all_serve() -> None:
    known = Affinity(lambda: [worker("a")])
    assert known.worker(HOSTS[0]) == ""
    assert known.queue(HOSTS[0]) == SITE


def test_where_steps_go() -> None:
    known = Affinity(lambda: [worker("a"), worker("b")])
    home = known.worker(HOSTS[0])
    assert known.queue(HOSTS[0]) == f"{SITE}@{home}"
    assert known.queue(HOSTS[0], PREFERRED_ATTEMPTS) == f"{SITE}@{home}"
    assert known.queue(HOSTS[0], PREFERRED_ATTEMPTS + 1) == SITE, "others try"
    assert known.queue(SITE) == SITE
    assert known.queue("nepiq.m.here") == "nepiq.m.here"
    # What came too early to a worker goes back to it.
    assert known.queue(f"{SITE}@b") == f"{SITE}@b"


def test_what_a_slow_thread_finds_is_not_kept_when_others_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(affinity, "_CACHE_SECONDS", 0.0)
    serving = [worker("a"), worker("b")]
    known, weight = Affinity(lambda: serving), affinity._weight

    def slow(host: str, name: str) -> bytes:
        if len(serving) == 2:  # while this thread chooses, another one learns of others
            serving[:] = [worker("c"), worker("d"), worker("e")]
            known.worker("nepiq.default@another")
        return weight(host, name)

    monkeypatch.setattr(affinity, "_weight", slow)
    assert known.worker(HOSTS[0]) in {"a", "b"}
    assert known.worker(HOSTS[0]) in {"c", "d", "e"}


def test_no_redis_is_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "_CACHE_SECONDS", 0.0)
    answers: list[Sequence[WorkerInfo] | Exception] = [
        [worker("a"), worker("b")],
        NoConnection("gone"),
        [worker("a"), worker("b")],
    ]

    def ask() -> Sequence[WorkerInfo]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    known = Affinity(ask)
    found = known.worker(HOSTS[0])
    assert found
    assert known.worker(HOSTS[0]) == ""
    assert known.worker(HOSTS[0]) == found


class SlowRedis:
    """A list of two workers that is read when it is allowed."""

    def __init__(self) -> None:
        self.reading, self.answers = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self) -> Sequence[WorkerInfo]:
        self.reading.release()
        assert self.answers.acquire(timeout=30.0)
        return [worker("a"), worker("b")]


def test_threads_wait_for_the_first_list() -> None:
    redis = SlowRedis()
    known = Affinity(redis)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(known.worker, HOSTS[0])
        assert redis.reading.acquire(timeout=30.0)
        second = threads.submit(known.worker, HOSTS[0])
        early = wait([second], 0.1).done
        redis.answers.release()
        # Without a list no host has a home, and its step could go to any worker.
        assert second.result(30.0) == first.result(30.0) != ""
        assert not early


def test_they_do_not_wait_for_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "_CACHE_SECONDS", 0.0)
    redis = SlowRedis()
    known = Affinity(redis)
    redis.answers.release()
    home = known.worker(HOSTS[0])
    assert redis.reading.acquire(timeout=30.0)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(known.worker, HOSTS[0])
        assert redis.reading.acquire(timeout=30.0)
        assert known.worker(HOSTS[0]) == home
        assert not slow.done()
        redis.answers.release()
