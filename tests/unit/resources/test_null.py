"""nepiq::Null and nepiq::Sleep."""

from __future__ import annotations

import logging

from nepiq.controller.description.description import Description
from nepiq.controller.errors import DeadlineError
from nepiq.controller.model import NO_HOST, Action, Context, Deadline, State, perform
from nepiq.controller.testing import Harness


def test_null_does_nothing() -> None:
    null = Harness("nepiq::Null")
    for act in (null.deploy, null.start, null.stop, null.start, null.release):
        act()
    assert null.state is State.RELEASED
    assert null.host.calls == []


def test_null_is_done_in_batches_without_hooks() -> None:
    null = Description()
    spec = null.spec(null.add("nepiq::Null"))
    assert spec.batch
    assert list(spec.idle) == ["deploy", "start", "stop", "set", "release"]


def test_null_may_end() -> None:
    null = Harness("nepiq::Null", ends=True)
    null.deploy()
    null.start()
    assert null.state is State.FINISHED


def test_sleep_ends_by_itself() -> None:
    sleep = Harness("nepiq::Sleep", duration="2s")
    sleep.deploy()
    sleep.start()
    sleep.clock.advance(1.9)
    assert sleep.state is State.STARTED
    sleep.clock.advance(0.2)
    assert sleep.state is State.FINISHED
    assert sleep.milestones[State.FINISHED] == 2.0
    at_once = Harness("nepiq::Sleep", duration=0)
    at_once.deploy()
    at_once.start()
    assert at_once.state is State.FINISHED


def test_a_sleep_that_is_stopped_does_not_end_again() -> None:
    sleep = Harness("nepiq::Sleep", duration="2s")
    sleep.deploy()
    sleep.start()
    sleep.clock.advance(1)
    sleep.stop()
    sleep.start()
    sleep.clock.advance(1.5)  # the end of the first start is over
    assert sleep.state is State.STARTED
    sleep.clock.advance(1)
    assert sleep.state is State.FINISHED


def test_sleep_starts_when_it_has_slept() -> None:
    sleep = Harness("nepiq::Sleep", work="1ms")
    sleep.deploy()
    sleep.start()
    assert sleep.state is State.STARTED


def test_sleep_ends_at_its_deadline() -> None:
    d = Description()
    rm = d.instance(d.add("nepiq::Sleep", work="1h"))
    context = Context(NO_HOST, {}, 1, Deadline.after("20ms"), logging.getLogger("test"))
    outcome = perform(rm, Action.START, context)
    assert outcome.state is State.FAILED
    assert isinstance(outcome.error, DeadlineError)
