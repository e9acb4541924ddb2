"""An experiment from its description to its release, on real workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.e2e.lab import Lab, app, node, null, reached_at
from tests.stand import bearers

from nepiq.controller import (
    ECState,
    ExperimentFailed,
    InvalidValue,
    NotAllowed,
    ResourceAction,
    ResourceState,
    TooLate,
    TraceAttr,
    TraceNotFound,
    WaitTimeout,
)

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

DEPLOY, START, STOP = ResourceAction.DEPLOY, ResourceAction.START, ResourceAction.STOP
READY, STARTED = ResourceState.READY, ResourceState.STARTED
FINISHED, STOPPED = ResourceState.FINISHED, ResourceState.STOPPED
FAILED, RELEASED = ResourceState.FAILED, ResourceState.RELEASED
PATIENCE = 30


# -- life ---------------------------------------------------------------------------------------


def test_nepis_states_in_order(lab: Lab) -> None:
    ec = lab.experiment()
    here, one = node(ec), app(ec, "one", "echo HOLA")
    assert ec.ecstate is ECState.RUNNING
    assert ec.deploy() is not None
    assert len(ec.run_id) == 20
    assert ec.run_id.isdigit()
    assert ec.wait_deployed(timeout=PATIENCE)
    assert ec.wait_started("one", timeout=PATIENCE)
    assert ec.wait_finished(timeout=PATIENCE)
    assert ec.state(one) is FINISHED
    assert ec.state(here) is STARTED
    assert ec.reached(one, STARTED)
    assert not ec.reached(one, FAILED)
    assert not ec.reached(here, "FINISHED")
    assert ec.get(one, "exitCode") == 0
    assert ec.trace(one, "stdout") == "HOLA\n"
    ec.release()
    assert ec.ecstate is ECState.RELEASED
    assert ec.state(one, hr=True) == "RELEASED"
    assert not ec.reached(one, FAILED)
    assert ec.trace(one, "stdout") == "HOLA\n"
    ec.release()
    ec.shutdown()
    assert ec.ecstate is ECState.TERMINATED


def test_offsets_count_from_the_milestone(lab: Lab) -> None:
    ec = lab.experiment()
    first, second = null(ec, "first"), null(ec, "second")
    ec.register_condition("second", START, "first", STARTED, "500ms")
    ec.register_condition("second", STOP, "second", STARTED, "200ms")
    ec.deploy()
    assert ec.wait_finished(second, timeout=PATIENCE)
    started = reached_at(ec, second, "STARTED")
    assert started - reached_at(ec, first, "STARTED") >= 0.5
    assert reached_at(ec, second, "STOPPED") - started >= 0.2
    assert ec.state(second) is STOPPED


def test_a_group_starts_together_and_others_as_they_are_ready(lab: Lab) -> None:
    ec = lab.experiment()
    late, early, alone = null(ec, "late"), null(ec, "early"), null(ec, "alone")
    ec.register_condition(late, DEPLOY, alone, READY, "300ms")
    assert ec.deploy(alone, wait_all_ready=False) is None
    group = ec.deploy([late, early])
    assert ec.wait_started(timeout=PATIENCE)
    barrier = reached_at(ec, late, "READY")
    assert reached_at(ec, early, "READY") < barrier
    assert reached_at(ec, early, "STARTED") >= barrier
    assert reached_at(ec, alone, "STARTED") < barrier
    joiner = null(ec, "joiner")
    assert ec.deploy(joiner, group=group) == group
    assert ec.wait_started(joiner, timeout=PATIENCE)


def test_a_second_deploy_takes_only_what_is_new(lab: Lab) -> None:
    ec = lab.experiment()
    first = null(ec, "first")
    assert ec.deploy() == 1
    assert ec.deploy() is None
    second = null(ec, "second")
    assert second == first + 1
    assert ec.deploy() == 2
    assert ec.wait_started(timeout=PATIENCE)
    assert ec.deploy([]) is None


def test_resources_and_connections_can_be_added_while_it_runs(lab: Lab) -> None:
    ec = lab.experiment()
    here, early = node(ec), app(ec, "early", "true")
    ec.deploy(here)
    assert ec.wait_started(here, timeout=PATIENCE)
    late = ec.register_resource("linux::Application", label="late", command="echo late")
    ec.register_connection(late, here)
    ec.register_condition("late", START, "early", FINISHED)
    ec.deploy("late")
    with pytest.raises(WaitTimeout, match=r"late is READY: start waits for early FINISHED"):
        ec.wait_started("late", timeout=0.5)
    ec.deploy(early)
    assert ec.wait_finished(["late", early], timeout=PATIENCE)


def test_conditions_can_be_added_while_it_runs(lab: Lab) -> None:
    ec = lab.experiment()
    runner, waiter = null(ec, "runner"), null(ec, "waiter")
    ec.register_condition(waiter, START, runner, STOPPED)
    ec.deploy()
    assert ec.wait_started(runner, timeout=PATIENCE)
    ec.register_condition("runner", STOP, "runner", STARTED, "100ms")
    assert ec.wait_started(waiter, timeout=PATIENCE)
    with pytest.raises(TooLate):
        ec.register_condition(waiter, START, runner, RELEASED)


def test_guids_chosen_by_the_user_move_the_count(lab: Lab) -> None:
    ec = lab.experiment()
    null(ec, "a")
    ec.deploy()
    assert ec.register_resource("nepiq::Null", guid=100) == 100
    assert [null(ec, f"b{n}") for n in range(5)] == [101, 102, 103, 104, 105]
    ec.deploy()
    assert ec.wait_started(timeout=PATIENCE)


# -- synchronous calls --------------------------------------------------------------------------


def test_start_and_stop_return_when_done(lab: Lab) -> None:
    ec = lab.experiment()
    node(ec)
    sleeper = app(ec, "sleeper", "echo $$; exec sleep 60", startedWhen="output:[0-9]")
    ec.deploy()
    assert ec.wait_started(timeout=PATIENCE)
    first = ec.trace(sleeper, "stdout")
    ec.stop("sleeper")
    assert ec.state(sleeper) is STOPPED
    with pytest.raises(NotAllowed, match=r"sleeper: cannot stop: not possible in state STOPPED"):
        ec.stop(sleeper)
    ec.start(sleeper)
    assert ec.state(sleeper) is STARTED
    assert ec.trace(sleeper, "stdout") != first
    ec.stop(sleeper)
    assert bearers(f"{ec.run_id}.{sleeper}") == []


def test_start_raises_what_the_resource_raised(lab: Lab) -> None:
    ec = lab.experiment()
    node(ec)
    bad = app(ec, "bad", "sleep 60", startedWhen="file:never", startTimeout="300ms")
    gate = null(ec, "gate", critical=False)
    ec.register_condition(bad, START, gate, RELEASED)
    ec.deploy()
    assert ec.wait_deployed(timeout=PATIENCE)
    with pytest.raises(Exception, match="never") as raised:
        ec.start(bad)
    assert type(raised.value).__name__ == "StartTimeout"
    assert ec.state(bad) is FAILED


def test_set_on_a_running_resource(lab: Lab) -> None:
    ec = lab.experiment()
    node(ec)
    runner = app(ec, "runner", "sleep 60")
    ec.deploy()
    assert ec.wait_started(timeout=PATIENCE)
    ec.set(runner, "hardRelease", True)
    assert ec.get(runner, "hardRelease") is True
    ec.set(runner, "hardRelease", False)
    assert ec.get(runner, "hardRelease") is False
    with pytest.raises(NotAllowed, match="before deployment"):
        ec.set(runner, "command", "true")
    with pytest.raises(InvalidValue):
        ec.set(runner, "hardRelease", "yes")


# -- traces -------------------------------------------------------------------------------------


def test_traces_small_large_and_of_any_file(lab: Lab) -> None:
    ec = lab.experiment()
    node(ec)
    text = "seq 1 20000; printf 'caf\\303\\251 \\377' > bytes; mkdir sub; echo deep > sub/file"
    big = app(ec, "big", text)
    ec.deploy()
    assert ec.wait_finished(big, timeout=PATIENCE)
    whole = ec.trace(big, "stdout")
    assert whole == "".join(f"{n}\n" for n in range(1, 20001))
    assert ec.trace(big, "stdout", TraceAttr.SIZE) == len(whole)
    assert ec.trace(big, "stdout", TraceAttr.STREAM, block=100, offset=7) == whole[700:800]
    assert ec.trace(big, "stdout", "stream", block=1000, offset=1000) == ""
    assert ec.trace(big, "bytes", text=False) == b"caf\xc3\xa9 \xff"
    assert ec.trace(big, "bytes") == "café �"
    assert ec.trace(big, "sub/file") == "deep\n"
    assert ec.trace(big, "stderr") == ""


def test_the_place_of_a_trace(lab: Lab, installation: Installation) -> None:
    ec = lab.experiment()
    node(ec)
    one = app(ec, "one", "echo HOLA")
    ec.deploy()
    assert ec.wait_finished(one, timeout=PATIENCE)
    place = ec.trace(one, "stdout", TraceAttr.PATH)
    home = installation.environment["HOME"]
    assert Path(place.replace("~", home, 1)).read_text() == "HOLA\n"


def test_a_trace_that_does_not_exist_lists_what_there_is(lab: Lab) -> None:
    ec = lab.experiment()
    node(ec)
    one, idle = app(ec, "one", "true"), null(ec, "idle")
    waiter = app(ec, "waiter", "true")
    ec.register_condition(waiter, START, idle, STOPPED)
    ec.deploy()
    assert ec.wait_finished(one, timeout=PATIENCE)
    with pytest.raises(TraceNotFound, match="stdout"):
        ec.trace(one, "stdot")
    with pytest.raises(TraceNotFound, match="known"):
        ec.trace(one, "../../../../etc/passwd")
    with pytest.raises(TraceNotFound, match="known"):
        ec.trace(one, "/etc/passwd")
    with pytest.raises(TraceNotFound, match="no host"):
        ec.trace(idle, "stdout")
    with pytest.raises(TraceNotFound, match="has not written anything"):
        ec.trace(waiter, "stdout")
    with pytest.raises(KeyError):
        ec.trace(one, "nothing")


# -- failures and ends --------------------------------------------------------------------------


def test_a_critical_failure_ends_the_experiment(lab: Lab) -> None:
    ec = lab.experiment()
    here, bad = node(ec), app(ec, "bad", "echo 'no space' >&2; exit 3")
    never = app(ec, "never", "true")
    ec.register_condition(never, START, bad, FINISHED)
    ec.deploy()
    assert not ec.wait_finished(timeout=PATIENCE)
    assert ec.ecstate is ECState.FAILED
    assert ec.state(bad) is FAILED
    failure = ec.failures[0]
    assert (failure.label, failure.kind, failure.info["code"]) == ("bad", "CommandError", 3)
    assert "no space" in failure.message
    assert ec.get(bad, "exitCode") == 3
    null(ec, "more")
    with pytest.raises(ExperimentFailed):
        ec.deploy()
    ec.release()
    assert ec.ecstate is ECState.RELEASED
    assert ec.state(here) is RELEASED


def test_a_failure_that_is_not_critical_ends_nothing(lab: Lab) -> None:
    ec = lab.experiment()
    node(ec)
    bad = app(ec, "bad", "exit 3", critical=False)
    after = app(ec, "after", "echo after")
    ec.register_condition(after, START, bad, FINISHED)
    ec.deploy()
    assert ec.wait_finished(timeout=PATIENCE)
    assert (ec.state(bad), ec.state(after)) == (FAILED, FINISHED)
    assert ec.ecstate is ECState.RUNNING
    assert [failure.critical for failure in ec.failures] == [False]


def test_leaving_a_failed_experiment_raises(lab: Lab) -> None:
    ec = lab.experiment()
    node(ec)
    app(ec, "bad", "exit 3")
    ec.deploy()
    ec.wait_finished(timeout=PATIENCE)
    with pytest.raises(ExperimentFailed, match="bad"), ec:
        pass
    assert ec.ecstate is ECState.TERMINATED


def test_an_exception_inside_releases_and_goes_on(lab: Lab) -> None:
    ec = lab.experiment()
    node(ec)
    app(ec, "sleeper", "sleep 60")
    ec.deploy()
    ec.wait_started(timeout=PATIENCE)
    with pytest.raises(ZeroDivisionError), ec:
        raise ZeroDivisionError
    assert ec.ecstate is ECState.RELEASED
    assert bearers(ec.run_id) == []


def test_a_partial_release_leaves_the_rest(lab: Lab) -> None:
    ec = lab.experiment()
    a, b = null(ec, "a"), null(ec, "b")
    never = null(ec, "never")
    ec.deploy([a, b])
    assert ec.wait_started(timeout=PATIENCE)
    ec.release([a, never])
    assert (ec.state(a), ec.state(b)) == (RELEASED, STARTED)
    assert ec.ecstate is ECState.RUNNING
    ec.shutdown()
    assert ec.state(b) is RELEASED


def test_the_release_of_a_host_takes_along_what_runs_on_it(lab: Lab) -> None:
    ec = lab.experiment()
    here, one = node(ec), app(ec, "one", "sleep 60")
    ec.deploy()
    assert ec.wait_started(timeout=PATIENCE)
    ec.release("here")
    assert (ec.state(here), ec.state(one)) == (RELEASED, RELEASED)
    assert reached_at(ec, one, "RELEASED") <= reached_at(ec, here, "RELEASED")


# -- other clients ------------------------------------------------------------------------------


def test_environment_of_this_process_is_left_alone() -> None:
    assert not [name for name in os.environ if name.startswith("NEPIQ_")]
