"""nepiq::Null and nepiq::Sleep."""

from __future__ import annotations

import logging

from nepiq.controller.description.description import Description
from nepiq.controller.errors import DeadlineError
from nepiq.controller.model import NO_HOST, Action, Context, Deadline, State, perform, registry
from nepiq.controller.testing import Harness


def test_null_does_nothing() -> None:
    null = Harness("nepiq::Null")
    for act in (null.deploy, null.start, null.stop, null.start, null.release):
        act()
    assert null.state is State.RELEASED
    assert null.host.calls == []


def test_null_is_done_in_batches_without_hooks() -> None:
    cls = registry.find("nepiq::Null")
    assert not cls.does_io
    assert not any(cls.hooks_for(action) for action in Action)
    assert list(cls.attributes) == ["critical", "hardRelease"]


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
