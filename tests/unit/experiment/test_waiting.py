"""Waiting is a snapshot, then the stream from that point."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from nepiq.controller import errors
from nepiq.controller.experiment import waiting

from .fake_run import FakeRun


def later(action: Any) -> None:
    threading.Timer(0.05, action).start()


def test_what_is_fulfilled_already_needs_no_event() -> None:
    run = FakeRun({1: "FINISHED", 2: "STOPPED", 3: "RELEASED"})
    assert waiting.wait(run, [1, 2, 3], waiting.FINISHED)
    assert run.snapshots == 1


@pytest.mark.parametrize(
    ("goal", "state"),
    [
        (waiting.DEPLOYED, "READY"),
        (waiting.STARTED, "STARTED"),
        (waiting.FINISHED, "FINISHED"),
        (waiting.FINISHED, "STOPPED"),
        (waiting.RELEASED, "RELEASED"),
    ],
)
def test_an_event_fulfils_the_goal(goal: waiting.Goal, state: str) -> None:
    run = FakeRun({1: "NEW"})
    later(lambda: run.happen(1, state))
    assert waiting.wait(run, [1], goal, timeout=5)


def test_an_event_between_snapshot_and_stream_is_not_lost() -> None:
    run = FakeRun({1: "STARTED"})
    run.before_events.append(lambda: run.happen(1, "FINISHED"))
    assert waiting.wait(run, [1], waiting.FINISHED, timeout=5)


def test_nothing_is_waited_for_with_an_empty_list() -> None:
    assert waiting.wait(FakeRun({}), [], waiting.FINISHED)


def test_a_failed_experiment_ends_the_wait_with_false() -> None:
    run = FakeRun({1: "STARTED", 2: "STARTED"})

    def fail() -> None:
        run.happen(2, "FAILED")
        run.happen(0, "FAILED", info={"guid": 2})

    later(fail)
    assert not waiting.wait(run, [1, 2], waiting.FINISHED, timeout=5)


def test_a_failure_that_is_not_critical_counts_as_an_end() -> None:
    run = FakeRun({1: "FAILED", 2: "FINISHED"})
    assert waiting.wait(run, [1, 2], waiting.FINISHED)


def test_what_has_ended_well_is_true_though_another_failed() -> None:
    run = FakeRun({1: "FINISHED", 2: "FAILED"})
    run.phase, run.cause = "FAILED", {"guid": 2}
    assert waiting.wait(run, [1], waiting.FINISHED)
    assert not waiting.wait(run, [2], waiting.FINISHED)


def test_release_is_waited_for_in_a_failed_experiment_too() -> None:
    run = FakeRun({1: "FAILED"})
    run.phase, run.cause = "FAILED", {"guid": 1}
    later(lambda: run.happen(1, "RELEASED"))
    assert waiting.wait(run, [1], waiting.RELEASED, timeout=5)


def test_a_timeout_says_who_waits_for_what() -> None:
    run = FakeRun({1: "READY", 2: "FINISHED", 3: "NEW"})
    with pytest.raises(errors.WaitTimeout) as raised:
        waiting.wait(
            run, [1, 2, 3], waiting.FINISHED, timeout=0.05, explain=lambda guid: f"r{guid} waits"
        )
    assert "2 resources are not finished after 0.05 s: r1 waits; r3 waits" in str(raised.value)
    assert isinstance(raised.value, TimeoutError)
    assert raised.value.exit_code == 5


def test_a_lost_connection_is_made_up_for_by_a_snapshot() -> None:
    run = FakeRun({1: "STARTED"})

    def lose() -> None:
        run.states[1] = "FINISHED"  # without an event that we could read
        raise redis.ConnectionError("gone")

    run.before_events.append(lose)
    assert waiting.wait(run, [1], waiting.FINISHED, timeout=5)
    assert run.snapshots == 2


def test_silence_is_made_up_for_by_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SILENCE", 0.05)
    run = FakeRun({1: "STARTED"})
    run.before_events.append(lambda: run.states.update({1: "FINISHED"}))
    assert waiting.wait(run, [1], waiting.FINISHED, timeout=5)


def test_who_waits_is_asked_to_look_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SILENCE", 0.05)
    run = FakeRun({1: "STARTED", 2: "FINISHED"})

    def look(pending: Any) -> None:
        assert pending == [1]
        raise errors.NoWorker("nobody there")

    with pytest.raises(errors.NoWorker):
        waiting.wait(run, [1, 2], waiting.FINISHED, timeout=5, idle=look)


def step(status: str, **more: Any) -> Any:
    told = {"status": status, "why": "", "error": None, "action": "stop"}
    return SimpleNamespace(**{**told, **more})


def test_a_step_is_waited_for() -> None:
    run = FakeRun({1: "STARTED"})
    run.steps["1.stop.1"] = step("due")

    def end() -> None:
        run.steps["1.stop.1"] = step("done")
        run.happen(1, "STOPPED", step="1.stop.1")

    later(end)
    assert waiting.wait_step(run, "1.stop.1").status == "done"


def test_a_void_step_says_why() -> None:
    run = FakeRun({1: "STARTED"})
    run.steps["1.stop.1"] = step("void", why="the run is being released")
    with pytest.raises(errors.StepFailed, match=r"r1: step 1\.stop\.1 was not carried out"):
        waiting.wait_step(run, "1.stop.1")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        ({"type": "InvalidValue", "message": "too fast"}, errors.InvalidValue, "too fast"),
        ({"type": "ValueError", "message": "odd"}, errors.StepFailed, "ValueError: odd"),
        ({"message": "no idea"}, errors.StepFailed, "no idea"),
        (
            {"type": "CommandError", "message": "exited with 3", "where": "app at h", "code": 3},
            errors.CommandError,
            "app at h: exited with 3",
        ),
        (
            {"type": "FileMissing", "message": "no x", "hint": "make it"},
            errors.FileMissing,
            "no x (make it)",
        ),
    ],
)
def test_what_a_step_raised_is_raised_again(
    error: dict[str, Any], kind: type[errors.NepiqError], text: str
) -> None:
    run = FakeRun({1: "STARTED"})
    run.steps["1.set.1"] = step("done", action="set", error=error)
    with pytest.raises(kind) as raised:
        waiting.wait_step(run, "1.set.1")
    assert type(raised.value) is kind
    assert str(raised.value) == text
