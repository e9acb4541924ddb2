"""Work that several threads ask for, done together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from nepiq.workers.hosts.batching import Batcher

LIMIT = 10.0


class Road:
    """Carries items when it is let, and notes the loads."""

    def __init__(self, most: int = 4) -> None:
        self.loads: list[list[int]] = []
        self.open = threading.Event()
        self.under_way = threading.Event()
        self.batcher: Batcher[int, int] = Batcher(self.carry, most)

    def carry(self, items: Sequence[int]) -> list[int]:
        self.loads.append(list(items))
        self.under_way.set()
        assert self.open.wait(LIMIT)
        if -1 in items:
            raise ValueError("a bad item")
        return [item * 10 for item in items]

    def waiting(self, count: int) -> bool:
        return len(self.batcher._waiting) == count


def until(true: object, road: Road) -> None:
    end = threading.Event()
    for _ in range(int(LIMIT * 1000)):
        if callable(true) and true():
            return
        end.wait(0.001)
    raise AssertionError(road.loads)


def test_one_item_goes_at_once() -> None:
    road = Road()
    road.open.set()
    assert [road.batcher.send(n) for n in (1, 2)] == [10, 20]
    assert road.loads == [[1], [2]]


def test_those_that_come_meanwhile_go_together() -> None:
    road = Road(most=4)
    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(road.batcher.send, 0)
        assert road.under_way.wait(LIMIT)
        others = [pool.submit(road.batcher.send, n) for n in range(1, 8)]
        until(lambda: road.waiting(7), road)
        road.open.set()
        assert first.result(LIMIT) == 0
        assert sorted(other.result(LIMIT) for other in others) == [n * 10 for n in range(1, 8)]
    assert [len(load) for load in road.loads] == [1, 4, 3]


def test_an_error_is_raised_for_each_of_its_load_only() -> None:
    road = Road()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(road.batcher.send, 1)
        assert road.under_way.wait(LIMIT)
        bad = [pool.submit(road.batcher.send, n) for n in (-1, 2)]
        until(lambda: road.waiting(2), road)
        road.open.set()
        assert first.result(LIMIT) == 10
        for future in bad:
            with pytest.raises(ValueError, match="bad item"):
                future.result(LIMIT)
    assert road.batcher.send(3) == 30


def test_who_gives_up_holds_nobody_up() -> None:
    road = Road()
    tired = threading.Event()

    def patience() -> float:
        if tired.is_set():
            raise TimeoutError
        return 0.001

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(road.batcher.send, 1)
        assert road.under_way.wait(LIMIT)
        gone = pool.submit(road.batcher.send, 2, patience)
        until(lambda: road.waiting(1), road)
        stays = pool.submit(road.batcher.send, 3)
        until(lambda: road.waiting(2), road)
        tired.set()
        with pytest.raises(TimeoutError):
            gone.result(LIMIT)
        road.open.set()
        assert (first.result(LIMIT), stays.result(LIMIT)) == (10, 30)
    assert road.loads == [[1], [3]]


def test_under_load_every_item_is_carried_once() -> None:
    carried: list[int] = []
    batcher: Batcher[int, int] = Batcher(lambda items: carried.extend(items) or list(items), 5)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(batcher.send, range(2000))) == list(range(2000))
    assert sorted(carried) == list(range(2000))
