"""The walk over the hooks of a step."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from nepiq.controller.errors import (
    Cancelled,
    DeadlineError,
    FencedError,
    InvalidValue,
    NoHostError,
    UnknownAttribute,
)
from nepiq.controller.model import (
    NO_HOST,
    Action,
    Attribute,
    Context,
    Deadline,
    Duration,
    Exit,
    Later,
    Launch,
    ResourceManager,
    Retry,
    State,
    perform,
)
from nepiq.controller.testing import FakeClock


class Script(ResourceManager, rtype="test.actions::Script"):
    """Does as the test tells."""

    wait = Attribute(Duration, "1s", help="A time.")
    told: dict[str, Any] = {}
    called: list[Any] = []

    def _do(self, name: str, *args: Any) -> Any:
        self.called.append((name, *args))
        answer = self.told.get(name)
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer

    def do_discover(self, context: Context) -> Any:
        return self._do("do_discover")

    def do_provision(self, context: Context) -> Any:
        return self._do("do_provision")

    def do_deploy(self, context: Context) -> Any:
        return self._do("do_deploy")

    def do_start(self, context: Context) -> Any:
        return self._do("do_start")

    def do_set(self, context: Context, name: str, value: Any) -> Any:
        return self._do("do_set", name, value)

    def do_release(self, context: Context) -> Any:
        return self._do("do_release")


class Persistent(Script, rtype="test.actions::Persistent"):
    retries = {"do_start": Retry(2, "1s"), "do_release": Retry(1, "1s"), "do_set": Retry(1, "1s")}


@pytest.fixture
def script() -> Script:
    Script.told, Script.called = {}, []
    return Script.load(guid=1, label="s")


def context(deadline: Deadline | None = None) -> Context:
    return Context(NO_HOST, {}, 1, deadline or Deadline.after(60), logging.getLogger("test"))


def test_a_deployment_tells_each_milestone_on_the_way(script: Script) -> None:
    seen: list[State] = []
    outcome = perform(script, Action.DEPLOY, context(), progress=seen.append)
    assert [name for (name,) in script.called] == ["do_discover", "do_provision", "do_deploy"]
    assert seen == [State.DISCOVERED, State.PROVISIONED]
    assert (outcome.state, outcome.error, outcome.later) == (State.READY, None, None)


@pytest.mark.parametrize(
    ("after", "until", "called"),
    [
        (State.NEW, None, ["do_discover", "do_provision", "do_deploy"]),
        (State.DISCOVERED, None, ["do_provision", "do_deploy"]),
        (State.RESERVED, None, ["do_provision", "do_deploy"]),
        (State.PROVISIONED, None, ["do_deploy"]),
        (None, State.DISCOVERED, ["do_discover"]),
        (State.DISCOVERED, State.PROVISIONED, ["do_provision"]),
    ],
)
def test_a_deployment_resumes_and_ends_where_told(
    script: Script, after: State | None, until: State | None, called: list[str]
) -> None:
    outcome = perform(script, Action.DEPLOY, context(), resume_after=after, until=until)
    assert [name for (name,) in script.called] == called
    assert outcome.state is (until or State.READY)


def test_later(script: Script) -> None:
    script.told["do_provision"] = Later("5s")
    outcome = perform(script, Action.DEPLOY, context())
    assert (outcome.later, outcome.state, outcome.hook) == (5.0, None, "do_provision")


def test_a_class_without_hooks_gets_through() -> None:
    rm = ResourceManager.load(guid=1)
    assert perform(rm, Action.DEPLOY, context()).state is State.READY
    assert perform(rm, Action.STOP, context()).state is State.STOPPED


def test_a_launch_is_handed_on(script: Script) -> None:
    script.told["do_start"] = Launch(age=2.0, exit=Exit(0, "FINISHED"))
    outcome = perform(script, Action.START, context())
    assert outcome.state is State.STARTED
    assert outcome.launch == script.told["do_start"]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1)])
def test_errors_fail_the_resource(script: Script, error: BaseException) -> None:
    script.told["do_start"] = error
    outcome = perform(script, Action.START, context())
    assert (outcome.state, outcome.error, outcome.later) == (State.FAILED, error, None)


def test_sys_exit_is_an_error_but_the_keyboard_is_not_caught(script: Script) -> None:
    script.told["do_start"] = sys.exit
    assert isinstance(perform(script, Action.START, context()).error, SystemExit)
    script.told["do_start"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        perform(script, Action.START, context())


def test_a_release_ends_released_all_the_same(script: Script) -> None:
    script.told["do_release"] = ValueError("x")
    outcome = perform(script, Action.RELEASE, context())
    assert outcome.state is State.RELEASED
    assert isinstance(outcome.error, ValueError)


def test_retries_are_counted_over_rounds(script: Script) -> None:
    rm = Persistent.load(guid=1)
    script.told["do_start"] = ValueError("x")
    waits = [perform(rm, Action.START, context(), failures=n).later for n in range(3)]
    assert waits == [1.0, 2.0, None]


@pytest.mark.parametrize("error", [DeadlineError("x"), Cancelled("x")])
def test_nothing_is_tried_again_in_vain(script: Script, error: Exception) -> None:
    script.told["do_start"] = error
    outcome = perform(Persistent.load(guid=1), Action.START, context())
    assert (outcome.later, outcome.state) == (None, State.FAILED)


def test_a_fenced_step_is_not_ours(script: Script) -> None:
    script.told["do_start"] = FencedError("x")
    with pytest.raises(FencedError):
        perform(Persistent.load(guid=1), Action.START, context())


def test_an_error_of_progress_is_not_the_hooks(script: Script) -> None:
    def stale(_: State) -> None:
        raise FencedError("stale")

    with pytest.raises(FencedError):
        perform(script, Action.DEPLOY, context(), progress=stale)
    assert len(script.called) == 1


def test_no_hook_is_called_after_the_deadline(script: Script) -> None:
    clock = FakeClock()
    deadline = Deadline.after(1, clock=clock)
    script.told["do_discover"] = lambda: clock.advance(2)
    outcome = perform(script, Action.DEPLOY, context(deadline))
    assert isinstance(outcome.error, DeadlineError)
    assert outcome.hook == "do_provision"
    assert outcome.state is State.FAILED


@pytest.mark.parametrize(
    ("action", "hook", "answer"),
    [
        (Action.DEPLOY, "do_deploy", Launch()),
        (Action.DEPLOY, "do_deploy", True),
        (Action.START, "do_start", "5s"),
    ],
)
def test_odd_answers_are_errors(script: Script, action: Action, hook: str, answer: Any) -> None:
    script.told[hook] = answer
    outcome = perform(script, action, context())
    assert isinstance(outcome.error, TypeError)
    assert hook in str(outcome.error)


# --- set


def test_a_set_calls_the_hook_then_assigns(script: Script) -> None:
    seen = []
    script.told["do_set"] = lambda: seen.append(script.wait)
    outcome = perform(script, Action.SET, context(), name="wait", value="10s")
    assert script.called == [("do_set", "wait", 10.0)]
    assert seen == [1.0]
    assert script.changes() == {"wait": "10s"}
    assert (outcome.state, outcome.error) == (None, None)


def test_a_set_to_none_takes_back_to_the_default(script: Script) -> None:
    perform(script, Action.SET, context(), name="wait", value=None)
    assert script.called == [("do_set", "wait", 1.0)]
    assert script.changes() == {"wait": None}


def test_what_the_hook_assigned_stays(script: Script) -> None:
    script.told["do_set"] = lambda: setattr(script, "wait", Duration(7))
    perform(script, Action.SET, context(), name="wait", value="10s")
    assert script.changes() == {"wait": 7.0}


def test_a_set_without_hook_only_assigns() -> None:
    rm = ResourceManager.load(guid=1)
    outcome = perform(rm, Action.SET, context(), name="hardRelease", value=True)
    assert (outcome.error, rm.changes()) == (None, {"hardRelease": True})


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("wiat", "1s", UnknownAttribute), ("wait", "soon", InvalidValue)],
)
def test_a_set_that_fails_changes_nothing(
    script: Script, name: str, value: Any, error: type[Exception]
) -> None:
    outcome = perform(script, Action.SET, context(), name=name, value=value)
    assert isinstance(outcome.error, error)
    assert outcome.state is None
    assert (script.changes(), script.called) == ({}, [])


def test_a_set_whose_hook_raises_leaves_state_and_value(script: Script) -> None:
    script.told["do_set"] = ValueError("x")
    outcome = perform(script, Action.SET, context(), name="wait", value="2s")
    assert (outcome.state, outcome.later, script.changes()) == (None, None, {})
    assert isinstance(outcome.error, ValueError)
    again = perform(Persistent.load(guid=1), Action.SET, context(), name="wait", value="2s")
    assert again.later == 1.0


def test_no_host() -> None:
    with pytest.raises(NoHostError, match=r"host\.run cannot be used, .*connect it to a node"):
        NO_HOST.run("true")
    with pytest.raises(NoHostError):
        _ = context().run_dir
