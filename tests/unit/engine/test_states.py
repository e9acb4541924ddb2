"""What RMs go through: milestones and their times, exits, restarts, sets."""

from __future__ import annotations

import pytest
from tests.unit.engine.bench import Bench, null

from nepiq.controller.model.spec import Gate


def started(**fields: object) -> Bench:
    bench = Bench(null(1, **fields))
    bench.deploy()
    bench.start(1)
    return bench


# -- milestones and their times ------------------------------------------------------------------


def test_a_deploy_goes_through_its_milestones_and_resumes_after_the_last() -> None:
    bench = Bench(null(1))
    bench.deploy()
    token = bench.take("1.deploy")
    bench.wait(1)
    bench.call("progress", "1.deploy", token, "DISCOVERED")
    bench.call("progress", "1.deploy", token, "DISCOVERED")
    bench.wait(1)
    bench.commit("1.deploy", token)
    assert bench.milestone(1, "DISCOVERED") == 1
    assert bench.milestone(1, "RESERVED") == bench.milestone(1, "READY") == 2
    events = [event["e"] for event in bench.model.events if event["g"] == "1"]
    assert events == ["DISCOVERED", "READY"]


def test_a_milestone_is_as_old_as_the_host_says() -> None:
    bench = Bench(null(1), null(2, Gate("start", 1, "STARTED", 5)))
    bench.deploy()
    bench.do("1.deploy")
    bench.do("2.deploy")
    token = bench.take("1.start")
    bench.wait(4)
    bench.handed_out()
    bench.commit("1.start", token, age=3)
    assert bench.milestone(1, "STARTED") == 1
    assert [(due.step, due.delay) for due in bench.submitted] == [("2.start", 2.0)]


def test_a_milestone_is_never_older_than_the_first_claim_of_its_step() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.do("1.deploy")
    bench.wait(10)
    bench.call("again", "1.start", bench.take("1.start"), 5.0)
    bench.wait(5)
    bench.do("1.start", age=100)
    assert bench.milestone(1, "STARTED") == 10


def test_an_rm_goes_through_its_milestones_in_order_of_time() -> None:
    bench = started()
    bench.wait(5)
    bench.call("exited", 1, 1, "FINISHED", 100.0)
    assert bench.milestone(1, "FINISHED") == bench.milestone(1, "STARTED") == 0


def test_a_stale_worker_is_told_so_before_anything_else() -> None:
    bench = Bench(null(1))
    bench.deploy()
    old = bench.take("1.deploy")
    bench.call("again", "1.deploy", old, 0.0)
    new = bench.take("1.deploy")
    assert bench.call("progress", "1.deploy", old, "RESERVED").status == "STALE"
    assert bench.commit("1.deploy", old) == "STALE"
    assert bench.commit("1.deploy", new) == "OK"
    assert bench.commit("1.deploy", old) == "STALE"
    assert bench.commit("1.deploy", new) == "OK"  # Its reply was lost.


# -- exits ---------------------------------------------------------------------------------------


def test_an_exit_before_the_start_is_committed_is_kept_and_then_applied() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.do("1.deploy")
    token = bench.take("1.start")
    bench.wait(3)
    bench.call("exited", 1, 1, "FINISHED", 2.0, {"exitCode": 0}, {}, {"stdout": b"hello"})
    assert bench.state(1) == "READY"
    bench.commit("1.start", token, age=3)
    assert bench.state(1) == "FINISHED"
    assert (bench.milestone(1, "STARTED"), bench.milestone(1, "FINISHED")) == (0, 1)
    assert bench.model.outputs["out:1"] == {"1/stdout": b"hello"}


def test_a_start_may_tell_at_once_how_it_ended() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.do("1.deploy")
    token = bench.take("1.start")
    bench.wait(5)
    bench.commit("1.start", token, "FINISHED", age=4, end_age=2)
    assert (bench.milestone(1, "STARTED"), bench.milestone(1, "FINISHED")) == (1, 3)


def test_a_process_that_a_stop_ended_is_stopped_in_whatever_order_the_news_come() -> None:
    bench = started()
    bench.call("request", "q", 1, "stop")
    token = bench.take("1.stop.1")
    bench.call("exited", 1, 1, "STOPPED")
    assert bench.commit("1.stop.1", token) == "OK"
    assert bench.state(1) == "STOPPED"
    assert [event["e"] for event in bench.model.events][-2:] == ["STOPPED", "done"]


def test_a_second_end_brings_only_what_the_first_did_not() -> None:
    bench = started()
    bench.call("exited", 1, 1, "FINISHED", 0.0, None, {"exitCode": 0}, {"stdout": b"one"})
    late = {"exitCode": 9, "signal": 15}
    bench.call("exited", 1, 1, "FAILED", 0.0, None, late, {"stdout": b"two", "stderr": b"x"})
    assert bench.state(1) == "FINISHED"
    assert bench.model.hash_at("attr:1") == {"exitCode": "0", "signal": "15"}
    assert bench.model.outputs["out:1"] == {"1/stdout": b"one", "1/stderr": b"x"}


# -- restarts ------------------------------------------------------------------------------------


def test_a_second_start_opens_a_new_occasion_and_forgets_how_the_first_ended() -> None:
    bench = started()
    bench.call("exited", 1, 1, "FINISHED")
    assert bench.call("request", "q", 1, "start").detail == "1.start.1"
    assert (bench.state(1), bench.model.rm("1")["occ"]) == ("READY", "2")
    assert bench.milestone(1, "STARTED") is bench.milestone(1, "FINISHED") is None
    bench.do("1.start.1")
    assert bench.state(1) == "STARTED"
    bench.call("exited", 1, 1, "FAILED")  # The first one's line, read again.
    assert bench.state(1) == "STARTED"
    bench.call("exited", 1, 2, "FINISHED")
    assert bench.state(1) == "FINISHED"


def test_a_failing_restart_fails_the_resource() -> None:
    bench = started()
    bench.call("exited", 1, 1, "FINISHED")
    bench.call("request", "q", 1, "start")
    bench.do("1.start.1", "failed")
    assert bench.state(1) == "FAILED"


def test_who_waited_for_the_first_occasion_has_seen_it() -> None:
    others = [null(guid, Gate("start", 1, "FINISHED")) for guid in range(2, 7)]
    bench = Bench(null(1), *others, limit=2)
    bench.deploy()
    for guid in range(1, 7):
        bench.do(f"{guid}.deploy")
    bench.do("1.start")
    bench.call("exited", 1, 1, "FINISHED", settle=False)
    bench.call("request", "q", 1, "start", settle=False)
    bench.settle()
    assert {bench.status(f"{guid}.start") for guid in range(2, 7)} == {"due"}


def test_a_requested_start_takes_the_place_of_the_one_that_waits() -> None:
    bench = Bench(null(1), null(2, Gate("start", 1, "STARTED")), null(3))
    bench.deploy()
    bench.do("1.deploy")
    bench.do("2.deploy")
    assert bench.call("request", "q", 2, "start").detail == "2.start.1"
    assert bench.status("2.start") == "void"
    bench.do("2.start.1")
    assert (bench.state(2), bench.model.rm("2")["occ"]) == ("STARTED", "1")


def test_a_start_under_way_is_the_answer_to_a_request_for_one() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.do("1.deploy")
    bench.take("1.start")
    assert bench.call("request", "q", 1, "start").detail == "1.start"


def test_a_requested_stop_takes_the_place_of_the_one_that_is_to_be_tried_again() -> None:
    bench = Bench(null(1, Gate("stop", 1, "STARTED")))
    bench.deploy()
    bench.start(1)
    token = bench.take("1.stop")
    assert bench.call("request", "q", 1, "stop").detail == "1.stop"
    bench.call("again", "1.stop", token, 5.0, "retry")
    assert bench.call("request", "r", 1, "stop").detail == "1.stop.1"
    assert bench.status("1.stop") == "void"
    bench.do("1.stop.1")
    assert bench.state(1) == "STOPPED"


@pytest.mark.parametrize("action", ["start", "stop"])
def test_what_was_requested_and_has_not_begun_answers_a_second_request(action: str) -> None:
    bench = Bench(null(1, Gate("start", 2, "STARTED")), null(2))
    bench.deploy()
    bench.do("1.deploy")
    bench.do("2.deploy")
    if action == "stop":
        bench.do("2.start")
        bench.do("1.start")
    first = bench.call("request", "q", 1, action).detail
    assert first == f"1.{action}.1"
    assert bench.call("request", "r", 1, action).detail == first
    bench.do(first)
    assert bench.state(1) == ("STARTED" if action == "start" else "STOPPED")


def test_requests_are_refused_where_they_make_no_sense_and_repeated_without_effect() -> None:
    bench = Bench(null(1))
    bench.deploy()
    assert bench.call("request", "a", 1, "stop").detail == "NEW"
    assert bench.call("request", "a", 1, "start").status == "ILLEGAL"
    bench.start(1)
    assert bench.call("request", "b", 1, "stop").detail == "1.stop.1"
    assert bench.call("request", "b", 1, "stop").detail == "1.stop.1"
    assert bench.call("request", "c", 9, "stop").status == "UNKNOWN"
    bench.call("release", "r")
    assert bench.call("request", "d", 1, "set", ["a", 1]).status == "CLOSED"


# -- sets ----------------------------------------------------------------------------------------


def test_of_two_sets_the_one_asked_for_later_holds() -> None:
    bench = started()
    bench.call("request", "a", 1, "set", ["rate", 1])
    bench.call("request", "b", 1, "set", ["rate", 2])
    bench.do("1.set.2", attrs={"rate": 2})
    assert bench.claim("1.set.1") is None
    assert bench.model.step("1.set.1")["why"] == "superseded"
    assert bench.model.hash_at("attr:1")["rate"] == "2"


def test_a_set_that_lost_its_worker_does_not_undo_a_later_one() -> None:
    bench = started()
    bench.call("request", "a", 1, "set", ["rate", 1])
    bench.call("request", "b", 1, "set", ["rate", 2])
    bench.take("1.set.1")
    bench.wait(20)
    bench.sweep()
    bench.do("1.set.2", attrs={"rate": 2})
    assert bench.claim("1.set.1") is None


def test_a_set_that_fails_is_told_and_fails_nothing_else() -> None:
    bench = started()
    bench.call("request", "a", 1, "set", ["rate", 1])
    bench.do("1.set.1", "failed")
    assert (bench.state(1), bench.status("1.set.1")) == ("STARTED", "done")
    assert "boom" in bench.model.step("1.set.1")["error"]


# -- guids ---------------------------------------------------------------------------------------


def test_guids_are_reserved_in_blocks_and_never_given_twice() -> None:
    bench = Bench(null(1))
    assert bench.model.reserve(4, "n") == ("OK", 2)
    assert bench.model.reserve(4, "n") == ("OK", 2)
    assert bench.model.reserve(2, "m", 20) == ("OK", 20)
    assert bench.model.reserve(1, "k") == ("OK", 22)


def test_a_guid_belongs_to_who_uploaded_it() -> None:
    bench = Bench(null(1))
    assert bench.upload(null(1)) == "OK"
    assert bench.model.upload("other", [null(2), null(1)]) == "CLASH:1"
    assert not bench.model.rm("2")


def test_a_run_belongs_to_who_created_it() -> None:
    bench = Bench()
    assert bench.model.create("creator", "experiment")[0] == "OK"
    assert bench.model.create("other", "experiment")[0] == "CLASH"
