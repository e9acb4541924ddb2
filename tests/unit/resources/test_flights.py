"""Work that one step does for others: these are woken at its end."""

from __future__ import annotations

import logging

import pytest

from nepiq.controller.model import Context
from nepiq.controller.model.durations import Deadline
from nepiq.controller.resources.linux import flights
from nepiq.controller.testing import FakeHost

CONTENTS = ["one", "two"]


class Step:
    """A step on a host, and how often it was woken."""

    def __init__(self, guid: int) -> None:
        self.woken = 0
        host = FakeHost()
        host.run_dir = f"/home/user/.nepiq/run/1/{guid}/1"
        log = logging.getLogger("test")
        self.context = Context(host, {}, 1, Deadline.after(60), log, wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    @property
    def waits(self) -> bool:
        wait = flights.under_way(self.context, CONTENTS)
        assert wait is None or wait.what == "carries it"
        return wait is not None

    @property
    def key(self) -> flights.Key:
        return flights.key(self.context, CONTENTS[0])


def test_those_that_wait_are_woken_once() -> None:
    first, second, third = map(Step, (2, 3, 4))
    assert not first.waits
    with flights.flight([first.key], "carries it") as mine:
        assert mine
        assert second.waits
        assert second.waits  # a later round
        assert third.waits
        with flights.flight([third.key], "carries it, too") as also:
            assert not also
        assert second.woken == 0
    assert [step.woken for step in (first, second, third)] == [0, 1, 1]
    assert not second.waits


def test_a_failure_wakes_them_too() -> None:
    first, second = map(Step, (2, 3))

    def fail() -> None:
        with flights.flight([first.key], "carries it"):
            assert second.waits
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert second.woken == 1
    with flights.flight([second.key], "carries it") as mine:
        assert mine
