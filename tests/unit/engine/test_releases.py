"""Release: of a part, of all, by nobody; and what remains of a run after it."""

from __future__ import annotations

from typing import Any

from tests.unit.engine.bench import Bench, app, node, null

from nepiq.controller.engine.store.calls import Claim
from nepiq.controller.model.spec import Gate, ResourceSpec


def running() -> Bench:
    bench = Bench(node(1), app(2, 1), app(3, 1, after=[2]), null(4))
    bench.deploy()
    for guid in (1, 2, 3, 4):
        bench.do(f"{guid}.deploy")
    for guid in (1, 2, 3, 4):
        bench.do(f"{guid}.start")
    bench.handed_out()
    return bench


def test_what_lives_on_others_is_released_before_them() -> None:
    bench = running()
    bench.call("release", "r")
    assert sorted(bench.handed_out()) == ["3.release", "4.release"]
    bench.do("3.release")
    assert bench.handed_out() == ["2.release"]
    bench.do("2.release")
    bench.do("4.release")
    assert bench.handed_out() == ["1.release"]
    assert bench.phase == "RELEASING"
    bench.do("1.release")
    assert bench.phase == "RELEASED"
    assert not bench.live_steps()
    assert bench.model.dump().get("alarm") is None


def left(guid: int, **fields: Any) -> ResourceSpec:
    return app(guid, 1, left_to_host=True, **fields)


def test_what_has_ended_is_left_to_its_host() -> None:
    bench = Bench(node(1), left(2), left(3), left(4), left(5), left(6, after=[5]))
    bench.deploy()
    for guid in range(1, 7):
        bench.do(f"{guid}.deploy")
    for guid in range(1, 7):
        bench.do(f"{guid}.start")
    for guid, outcome in ((2, "FINISHED"), (3, "FAILED"), (4, "STOPPED"), (5, "FINISHED")):
        bench.call("exited", guid, 1, outcome)
    bench.handed_out()
    bench.call("release", "r")
    assert bench.states(2, 3, 4) == ["RELEASED"] * 3
    assert bench.states(1, 5, 6) == ["STARTED", "FINISHED", "STARTED"]
    assert bench.handed_out() == ["6.release"]  # it runs, and its user comes before 5
    bench.do("6.release")
    assert bench.handed_out() == ["5.release"]
    claim = bench.claim("5.release")
    assert isinstance(claim, Claim)
    assert claim.covered
    bench.commit("5.release", claim.token)
    assert bench.handed_out() == ["1.release"]


def test_what_is_released_alone_or_acts_or_was_set_is_not_left_to_its_host() -> None:
    bench = Bench(node(1), left(2), left(3), left(4))
    bench.deploy()
    for action in ("deploy", "start"):
        for guid in range(1, 5):
            bench.do(f"{guid}.{action}")
    for guid in range(2, 5):
        bench.call("exited", guid, 1, "FINISHED")
    bench.call("request", "set", 3, "set", ["hardRelease", True])
    bench.do("3.set.1")
    bench.call("request", "start", 4, "start")
    token = bench.take("4.start.2")
    bench.handed_out()
    bench.call("release", "part", [2])
    assert bench.handed_out() == ["2.release"]
    bench.call("release", "all")
    assert sorted(bench.handed_out()) == ["3.release", "4.release"]
    bench.commit("4.start.2", token, "cancelled")
    for guid in range(2, 5):
        claim = bench.claim(f"{guid}.release")
        assert isinstance(claim, Claim)
        assert not claim.covered


def test_a_release_of_a_part_takes_along_what_lives_on_it_and_nothing_else() -> None:
    bench = running()
    bench.call("release", "r", [2])
    for step in ("3.release", "2.release"):
        bench.do(step)
    assert bench.states(1, 2, 3, 4) == ["STARTED", "RELEASED", "RELEASED", "STARTED"]
    assert bench.phase == "RUNNING"


def test_what_was_never_touched_is_released_at_once() -> None:
    bench = Bench(node(1), app(2, 1), null(3))
    bench.deploy(1, 2)
    bench.call("release", "r")
    assert bench.phase == "RELEASED"
    assert not bench.live_steps()


def test_what_may_have_been_touched_is_not() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    token = bench.take("1.deploy")
    bench.call("release", "r")
    assert bench.states(1, 2) == ["NEW", "RELEASED"]
    assert bench.claim("1.release") is None  # Its deploy is still under way.
    bench.commit("1.deploy", token, "cancelled")
    bench.do("1.release")
    assert bench.phase == "RELEASED"


def test_after_a_restart_of_redis_nothing_counts_as_untouched() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.model.server = "another"
    bench.call("release", "r")
    assert bench.state(1) == "NEW"
    bench.do("1.release")
    assert bench.phase == "RELEASED"


def test_a_release_that_fails_is_a_release_with_a_note() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.start(1)
    bench.call("release", "r")
    bench.do("1.release", "failed")
    assert (bench.state(1), bench.phase) == ("RELEASED", "RELEASED")
    assert "boom" in bench.model.step("1.release")["error"]


def test_an_empty_run_is_released_at_once() -> None:
    bench = Bench()
    assert bench.call("release", "r").ended
    assert bench.phase == "RELEASED"


def test_an_exit_that_a_release_brought_about_is_no_failure() -> None:
    bench = running()
    bench.call("release", "r", [3])
    bench.take("3.release")
    bench.call("exited", 3, 1, "FAILED", 0.0, {"message": "exit 143"})
    assert (bench.state(3), bench.phase) == ("STOPPED", "RUNNING")


def test_the_run_has_ended_when_nothing_is_left_to_do() -> None:
    waiting = [null(guid, Gate("start", 1, "STARTED")) for guid in range(2, 6)]
    bench = Bench(null(1), *waiting, limit=1)
    bench.deploy()
    bench.take("1.deploy")
    for number in range(2, 6):
        bench.call("release", f"r{number}", [number])
    reply = bench.call("release", "r", settle=False)
    replies = [reply]
    while replies[-1].more:
        replies.append(bench.model.go_on())
        assert replies[-1].ended == (bench.phase == "RELEASED" and not bench.model.todo)


def test_a_run_that_nobody_looks_after_is_released() -> None:
    bench = Bench()
    bench.model.meta["release_after"] = "60"
    bench.upload(null(1))
    bench.wait(59)
    bench.sweep()
    bench.model.touch()
    bench.wait(59)
    bench.sweep()
    assert bench.phase == "RUNNING"
    bench.wait(2)
    bench.sweep()
    assert bench.phase == "RELEASED"


def test_of_a_run_that_expired_nothing_remains_or_comes_back() -> None:
    bench = Bench(node(1), app(2, 1), null(3), limit=2)
    bench.deploy()
    bench.do("1.deploy")
    token = bench.take("2.deploy")
    assert bench.model.expire() == ("CLOSED", True)
    bench.call("release", "r")
    bench.commit("2.deploy", token, outputs={"log": b"x"})
    bench.do("2.release")
    bench.do("1.release")
    assert bench.model.expire() == ("OK", True)
    assert bench.call("go_on").status == "GONE"
    assert bench.model.expire() == ("OK", False)
    assert bench.model.dump() == {}
    assert bench.commit("2.deploy", token) == "GONE"
    assert bench.call("exited", 2, 1, "FINISHED").status == "GONE"
    assert bench.model.dump() == {}
