"""Failures: whom they end, and what they leave alone."""

from __future__ import annotations

import json

import pytest
from tests.unit.engine.bench import Bench, app, node, null

from nepiq.controller.model.spec import Gate


def need(target: int, action: str = "deploy") -> Gate:
    return Gate(action, target, "READY", 0.0, need=True)


def test_a_critical_failure_ends_the_experiment_and_says_why() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    bench.do("1.deploy", "failed")
    assert (bench.phase, bench.state(2)) == ("FAILED", "NEW")
    cause = json.loads(bench.model.meta["cause"])
    assert cause == {"guid": 1, "label": "null-1", "error": {"message": "boom"}}
    assert bench.claim("2.deploy") is None
    assert bench.status("2.deploy") == "void"
    assert bench.call("deploy", "d", "new", [2]).status == "CLOSED"


def test_work_in_flight_is_accepted_after_a_critical_failure() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    token = bench.take("2.deploy")
    bench.do("1.deploy", "failed")
    assert bench.commit("2.deploy", token) == "OK"
    assert bench.state(2) == "READY"


def test_stops_still_run_after_a_critical_failure() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    bench.start(1, 2)
    bench.call("exited", 1, 1, "FAILED", 0.0, {"message": "exit 3"})
    bench.call("request", "q", 2, "stop")
    bench.do("2.stop.1")
    assert bench.state(2) == "STOPPED"


@pytest.mark.parametrize("limit", [1, 3, 500])
def test_a_critical_failure_fails_what_waited_and_what_waited_for_that(limit: int) -> None:
    chain = [null(guid, Gate("start", guid - 1, "STARTED")) for guid in range(2, 8)]
    bench = Bench(null(1), *chain, limit=limit)
    bench.deploy(group=None)
    for guid in range(1, 8):
        bench.do(f"{guid}.deploy")
    bench.do("1.start", "failed")
    assert bench.states(*range(1, 8)) == ["FAILED"] * 7
    assert "needs null-1 STARTED, which failed" in bench.error(2)
    assert "needs null-6 STARTED, which failed" in bench.error(7)


def test_who_is_made_to_wait_for_what_has_failed_critically_fails_too() -> None:
    bench = Bench(null(1), null(2, Gate("start", 3, "STARTED")), null(3), null(4))
    bench.deploy(1, 2, 4, group=None)
    bench.do("2.deploy")
    bench.start(4)
    bench.do("1.deploy", "failed")
    assert bench.states(2, 4) == ["READY", "STARTED"]
    bench.call("condition", 2, Gate("start", 1, "STARTED"))
    bench.call("condition", 4, Gate("stop", 1, "FINISHED"))
    assert bench.states(2, 4) == ["FAILED", "STARTED"]
    assert "needs null-1 STARTED, which failed" in bench.error(2)
    assert bench.status("4.stop") == "void"


def test_a_stop_that_waited_for_a_critical_failure_is_void() -> None:
    bench = Bench(null(1), null(2, Gate("stop", 1, "STARTED")))
    bench.deploy(group=None)
    bench.start(2)
    bench.do("1.deploy", "failed")
    assert (bench.state(2), bench.status("2.stop")) == ("STARTED", "void")
    assert "needs null-1" in bench.model.step("2.stop")["why"]


def test_who_waits_for_a_failure_starts_when_it_happens() -> None:
    bench = Bench(null(1, critical=False), null(2, Gate("start", 1, "FAILED")))
    bench.deploy()
    bench.do("2.deploy")
    assert bench.status("2.start") == "waiting"
    bench.do("1.deploy", "failed")
    bench.do("2.start")


def test_a_failure_of_the_dispensable_counts_as_reached() -> None:
    bench = Bench(null(1, critical=False), null(2, Gate("start", 1, "FINISHED", 3)))
    bench.deploy()
    bench.do("2.deploy")
    bench.handed_out()
    bench.do("1.deploy", "failed")
    assert bench.phase == "RUNNING"
    assert [(due.step, due.delay) for due in bench.submitted] == [("2.start", 3.0)]


def test_what_needs_the_dispensable_fails_with_it_and_is_dispensable_too() -> None:
    bench = Bench(node(1, critical=False), app(2, 1), null(3, need(2)))
    bench.deploy()
    bench.do("1.deploy", "failed")
    assert bench.states(1, 2, 3) == ["FAILED"] * 3
    assert bench.phase == "RUNNING"
    assert "needs node-1 READY, which failed" in bench.error(2)


def test_a_need_is_looked_at_when_it_is_armed_late() -> None:
    bench = Bench(node(1, critical=False), app(2, 1))
    bench.deploy(1)
    bench.do("1.deploy", "failed")
    bench.deploy(2)
    assert (bench.state(2), bench.phase) == ("FAILED", "RUNNING")


def test_a_need_of_what_was_released_fails() -> None:
    bench = Bench(node(1), app(2, 1))
    bench.deploy(1)
    bench.do("1.deploy")
    bench.call("release", "r", [1])
    bench.do("1.release")
    bench.upload(app(3, 1))
    bench.deploy(3)
    assert (bench.state(3), bench.phase) == ("FAILED", "RUNNING")
    assert "was released" in bench.error(3)


def test_a_failed_member_does_not_hold_the_barrier() -> None:
    bench = Bench(null(1, critical=False), null(2))
    bench.deploy()
    bench.do("2.deploy")
    assert bench.status("2.start") == "waiting"
    bench.do("1.deploy", "failed")
    assert bench.status("2.start") == "due"


def test_all_members_may_fail() -> None:
    bench = Bench(null(1, critical=False), null(2, critical=False))
    bench.deploy()
    bench.do("1.deploy", "failed")
    bench.do("2.deploy", "failed")
    assert not bench.live_steps()
    assert "open" in bench.model.hash_at("group:1")


def test_who_has_ended_does_not_fail() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.start(1)
    bench.call("request", "q", 1, "stop")
    token = bench.take("1.stop.1")
    bench.call("exited", 1, 1, "FINISHED")
    assert bench.commit("1.stop.1", token, "failed") == "OK"
    assert (bench.state(1), bench.phase) == ("FINISHED", "RUNNING")


def test_what_was_on_a_machine_that_is_gone_fails_and_is_released_at_once() -> None:
    bench = Bench(node(1, local=True), app(2, 1), app(3, 1), null(4))
    bench.deploy()
    bench.do("1.deploy")
    bench.do("2.deploy")
    bench.call("abandon", 1, {"message": "worker machine m1 is gone"})
    assert bench.states(1, 2, 3, 4) == ["FAILED", "FAILED", "FAILED", "NEW"]
    bench.call("release", "r")
    assert bench.phase == "RELEASED"


def test_a_release_on_a_machine_that_is_gone_ends_with_the_error() -> None:
    bench = Bench(node(1, local=True), app(2, 1))
    bench.deploy()
    bench.do("1.deploy")
    bench.do("2.deploy")
    bench.call("release", "r")
    token = bench.take("2.release")
    bench.call("abandon", 1, {"message": "gone"})
    assert (bench.states(1, 2), bench.phase) == (["RELEASED", "RELEASED"], "RELEASED")
    assert bench.model.renew("w1", [("2.release", token)]) == ["lost"]
    assert "gone" in bench.model.step("1.release")["error"]
    assert not bench.live_steps()
