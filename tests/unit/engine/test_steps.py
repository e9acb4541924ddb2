"""Gates, barriers, claims and places: when a step becomes due, and who may take it."""

from __future__ import annotations

import pytest
from tests.unit.engine.bench import Bench, app, node, null

from nepiq.controller.engine.store.calls import Claim, NotDue
from nepiq.controller.model.spec import Gate


def after(target: int, milestone: str = "STARTED", offset: float = 0.0) -> Gate:
    return Gate("start", target, milestone, offset)


# -- gates ---------------------------------------------------------------------------------------


def test_a_start_waits_for_each_condition_and_counts_the_offset_from_the_milestone() -> None:
    bench = Bench(null(1), null(2), null(3, after(1, offset=5), after(2)))
    bench.deploy()
    for guid in (1, 2, 3):
        bench.do(f"{guid}.deploy")
    bench.do("1.start")
    bench.wait(3)
    bench.handed_out()
    bench.do("2.start")
    assert [(due.step, due.delay) for due in bench.submitted] == [("3.start", 2.0)]


def test_a_step_that_is_due_beyond_the_horizon_is_left_to_the_sweeper() -> None:
    bench = Bench(null(1), null(2, after(1, offset=100)))
    bench.deploy()
    bench.do("1.deploy")
    bench.do("2.deploy")
    bench.do("1.start")
    assert "2.start" not in bench.handed_out()
    bench.wait(95.5)
    bench.sweep()
    assert [(due.step, due.delay) for due in bench.submitted] == [("2.start", 4.5)]


def test_a_condition_on_finished_is_met_by_stopped_too() -> None:
    bench = Bench(null(1), null(2, after(1, "FINISHED")))
    bench.deploy()
    bench.do("1.deploy")
    bench.do("2.deploy")
    bench.do("1.start")
    assert bench.status("2.start") == "waiting"
    bench.call("request", "q", 1, "stop")
    bench.do("1.stop.1")
    assert bench.status("2.start") == "due"


def test_milestones_that_a_state_implies_are_reached_with_it() -> None:
    bench = Bench(null(1), null(2, Gate("deploy", 1, "RESERVED")))
    bench.deploy(group=None)
    bench.do("1.deploy")
    assert bench.status("2.deploy") == "due"
    assert bench.milestone(1, "RESERVED") == bench.milestone(1, "READY")


@pytest.mark.parametrize("limit", [1, 3, 500])
def test_whoever_comes_goes_on_with_an_opening(limit: int) -> None:
    bench = Bench(null(1), *(null(guid, after(1)) for guid in range(2, 12)), limit=limit)
    bench.deploy()
    for guid in range(1, 12):
        bench.do(f"{guid}.deploy")
    bench.do("1.start")
    assert {bench.status(f"{guid}.start") for guid in range(2, 12)} == {"due"}
    assert not bench.model.todo


# -- barriers ------------------------------------------------------------------------------------


def test_nobody_starts_before_all_of_the_group_are_ready() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    bench.do("1.deploy")
    assert bench.status("1.start") == "waiting"
    bench.do("2.deploy")
    assert bench.status("1.start") == "due"


def test_a_barrier_waits_for_the_part_of_its_deployment_that_is_not_armed_yet() -> None:
    bench = Bench(*(null(guid) for guid in range(1, 5)), limit=1)
    reply = bench.deploy(settle=False)
    assert reply.more
    bench.commit("1.deploy", bench.take("1.deploy"))  # This goes on with the arming, too.
    assert bench.status("1.start") == "waiting"
    for guid in (2, 3, 4):
        bench.do(f"{guid}.deploy")
    assert bench.status("1.start") == "due"


def test_who_joins_a_closed_group_is_counted_in() -> None:
    bench = Bench(null(1), null(2))
    group = int(bench.deploy(1).detail)
    bench.deploy(2, group=group)
    bench.do("1.deploy")
    assert bench.status("1.start") == "waiting"
    bench.do("2.deploy")
    assert bench.status("1.start") == bench.status("2.start") == "due"


def test_who_joins_an_open_group_starts_when_it_is_ready() -> None:
    bench = Bench(null(1), null(2), null(3))
    group = int(bench.deploy(1).detail)
    bench.start(1)
    bench.deploy(2, 3, group=group)
    bench.do("2.deploy")
    assert bench.status("2.start") == "due"
    assert bench.status("3.start") == "waiting"


def test_without_a_group_each_starts_when_it_is_ready() -> None:
    bench = Bench(null(1), null(2))
    assert bench.deploy(group=None).detail == ""
    bench.do("1.deploy")
    assert bench.status("1.start") == "due"


def test_an_empty_group_opens_at_once() -> None:
    bench = Bench(null(1))
    bench.call("deploy", "d", "new", [])
    assert "open" in bench.model.hash_at("group:1")


def test_a_deployment_repeated_changes_nothing() -> None:
    bench = Bench(null(1))
    assert bench.call("deploy", "d", "new", [1]).detail == "1"
    assert bench.call("deploy", "d", "new", [1]).detail == "1"
    assert bench.model.meta["groups"] == "1"


# -- late conditions -----------------------------------------------------------------------------


def late(bench: Bench, guid: int, condition: Gate) -> str:
    reply = bench.call("condition", guid, condition)
    return f"{reply.status}:{reply.detail}".rstrip(":")


def test_a_condition_on_a_waiting_step_is_one_gate_more() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy(1, 2)
    assert late(bench, 2, after(1)) == "OK"
    bench.do("1.deploy")
    bench.do("2.deploy")
    assert (bench.status("1.start"), bench.status("2.start")) == ("due", "waiting")


def test_a_condition_on_a_due_step_lets_it_wait_again() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    bench.do("1.deploy")
    bench.do("2.deploy")
    assert late(bench, 2, after(1)) == "OK"
    assert bench.status("2.start") == "waiting"
    assert "2.start" not in bench.model.alarm
    assert bench.claim("2.start") is None  # Its message was under way.
    bench.do("1.start")
    bench.do("2.start")


def test_a_condition_that_is_met_already_may_only_move_the_due_time() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    bench.do("1.deploy")
    bench.do("2.deploy")
    bench.do("1.start")
    bench.handed_out()
    assert late(bench, 2, after(1, offset=7)) == "OK"
    assert [(due.step, due.delay) for due in bench.submitted] == [("2.start", 7.0)]


def test_a_condition_is_too_late_once_its_step_was_claimed() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    token = bench.take("2.deploy")
    wanted = Gate("deploy", 1, "READY")
    assert late(bench, 2, wanted) == "TOOLATE:claimed"
    bench.call("again", "2.deploy", token, 1.0)
    assert late(bench, 2, wanted) == "TOOLATE:due"
    bench.wait(1)
    bench.do("2.deploy")
    assert late(bench, 2, wanted) == "TOOLATE:done"


def test_a_condition_repeated_is_never_too_late() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    assert late(bench, 2, Gate("deploy", 2, "FAILED")) == "OK"
    bench.do("1.deploy")
    assert late(bench, 2, Gate("deploy", 2, "FAILED")) == "OK"


def test_a_stop_condition_on_a_deployed_resource_makes_the_stop_step() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.start(1)
    assert late(bench, 1, Gate("stop", 1, "STARTED", 10)) == "OK"
    bench.wait(10)
    bench.do("1.stop")
    assert bench.state(1) == "STOPPED"


def test_a_stop_condition_on_what_has_ended_is_only_noted() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.do("1.deploy")
    bench.do("1.start", "FINISHED")
    assert late(bench, 1, Gate("stop", 1, "STARTED")) == "OK"
    assert not bench.live_steps()


def test_conditions_name_what_exists() -> None:
    bench = Bench(null(1))
    assert late(bench, 1, after(9)) == "UNKNOWN:9"
    bench.call("release", "r")
    assert late(bench, 1, after(1)) == "CLOSED:RELEASED"


# -- claims --------------------------------------------------------------------------------------


def test_the_same_nonce_gets_the_same_grant_and_another_gets_none() -> None:
    bench = Bench(null(1))
    bench.deploy()
    first = bench.claim("1.deploy", nonce="n")
    assert isinstance(first, Claim)
    assert bench.claim("1.deploy", nonce="n") == first
    assert bench.claim("1.deploy", nonce="other") is None


def test_a_claim_before_its_time_says_how_long_to_wait() -> None:
    bench = Bench(null(1), null(2, after(1, offset=4)))
    bench.deploy(1, 2)
    for step in ("1.deploy", "2.deploy", "1.start"):
        bench.do(step)
    bench.wait(1)
    assert bench.claim("2.start") == NotDue("2.start", 3.0)
    bench.wait(2.999)
    assert isinstance(bench.claim("2.start"), Claim)


def test_tokens_grow_even_if_redis_forgot_the_last_ones() -> None:
    bench = Bench(null(1))
    bench.deploy()
    earlier = bench.model.copy()
    first = bench.take("1.deploy")
    bench.model.restore(earlier)
    bench.wait(0.001)
    assert bench.take("1.deploy") > first


def test_a_batch_is_claimed_and_committed_in_one_call() -> None:
    bench = Bench(null(1), null(2), null(3))
    bench.deploy()
    claims = bench.claim_all(["1.deploy", "2.deploy", "3.deploy", "9.deploy"])
    assert [isinstance(claim, Claim) for claim in claims] == [True, True, True, False]


def test_an_rm_runs_one_step_at_a_time() -> None:
    bench = Bench(null(1, batch=False))
    bench.deploy()
    token = bench.take("1.deploy")
    bench.call("request", "q", 1, "set", ["a", 1])
    assert bench.claim("1.set.1") is None
    bench.handed_out()
    bench.commit("1.deploy", token)
    assert "1.set.1" in bench.handed_out()
    bench.take("1.set.1")


def test_a_step_waits_in_line_for_a_place_on_its_host() -> None:
    bench = Bench(node(1, limit=1), *(app(guid, 1) for guid in (2, 3, 4)))
    bench.deploy()
    bench.do("1.deploy")
    token = bench.take("2.deploy")
    assert bench.claim("3.deploy") is None
    assert bench.claim("4.deploy") is None
    assert bench.claim("3.deploy") is None  # A message that came twice.
    bench.handed_out()
    bench.commit("2.deploy", token)
    assert bench.handed_out() == ["3.deploy"]
    bench.do("3.deploy")
    assert "4.deploy" in bench.handed_out()
    bench.do("4.deploy")


def test_a_place_offered_to_a_step_that_is_void_goes_to_the_next() -> None:
    bench = Bench(node(1, limit=1), *(app(guid, 1) for guid in (2, 3, 4)))
    bench.deploy()
    bench.do("1.deploy")
    token = bench.take("2.deploy")
    assert bench.claim("3.deploy") is bench.claim("4.deploy") is None
    bench.commit("2.deploy", token)
    bench.handed_out()
    bench.call("release", "r", [3])
    assert bench.handed_out() == ["4.deploy"]
    bench.do("4.deploy")


def test_a_place_offered_to_a_step_whose_rm_is_busy_goes_to_the_next() -> None:
    bench = Bench(node(1, limit=2), *(app(guid, 1) for guid in (2, 3, 4)))
    bench.deploy()
    bench.do("1.deploy")
    one, two = bench.take("2.deploy"), bench.take("3.deploy")
    bench.call("request", "q", 4, "set", ["a", 1])
    assert bench.claim("4.deploy") is bench.claim("4.set.1") is None
    bench.commit("2.deploy", one)
    bench.take("4.deploy")
    bench.handed_out()
    bench.commit("3.deploy", two)
    assert "4.set.1" not in bench.handed_out()  # It parks.
    assert bench.model.set_at("busy:1") == {"4.deploy"}


def test_ends_on_a_host_have_more_places() -> None:
    """64 go together in one command, which one that may not be claimed yet cannot do."""
    ending = list(range(4, 70))
    bench = Bench(node(1, limit=1), *(app(guid, 1) for guid in (2, 3, *ending)))
    bench.deploy()
    for guid in (1, 2, 3, *ending):
        bench.do(f"{guid}.deploy")
    starting = bench.take("2.start")
    assert bench.claim("3.start") is None
    bench.call("release", "r", ending)
    tokens = {guid: bench.take(f"{guid}.release") for guid in ending[:63]}
    assert bench.claim("67.release") is bench.claim("68.release") is None
    bench.handed_out()
    bench.commit("4.release", tokens[4])
    assert bench.handed_out() == []  # The start that waits is first, and has no place yet.
    bench.commit("2.start", starting)
    for guid in ending[1:63]:
        bench.commit(f"{guid}.release", tokens[guid])
    assert bench.handed_out() == ["3.start", "67.release", "68.release"]


def test_who_comes_later_lines_up_behind_those_who_wait() -> None:
    bench = Bench(node(1, limit=1), *(app(guid, 1) for guid in (2, 3, 4)))
    bench.deploy()
    bench.do("1.deploy")
    token = bench.take("2.deploy")
    assert bench.claim("3.deploy") is None
    bench.commit("2.deploy", token)
    assert bench.claim("4.deploy") is None  # The free place is promised.
    bench.handed_out()
    bench.do("3.deploy")
    assert "4.deploy" in bench.handed_out()


def test_local_hosts_are_bound_to_the_machine_of_the_first_claim() -> None:
    bench = Bench(node(1, local=True), app(2, 1))
    bench.deploy()
    token = bench.take("1.deploy", machine="m7")
    bench.handed_out()
    bench.commit("1.deploy", token)
    assert [due.queue for due in bench.submitted] == ["nepiq.m.m7"]
    assert bench.claim("2.deploy", machine="m8") is None
    assert bench.submitted[-1].queue == "nepiq.m.m7"
    bench.take("2.deploy", machine="m7")


def test_a_renewal_tells_what_was_lost_and_what_should_stop() -> None:
    bench = Bench(null(1, batch=False), null(2))
    bench.deploy()
    one, two = bench.take("1.deploy"), bench.take("2.deploy")
    bench.call("release", "r", [1])
    held = [("1.deploy", one), ("2.deploy", two), ("2.deploy", two + 1)]
    assert bench.model.renew("w1", held) == ["cancel", "ok", "lost"]
    assert bench.commit("1.deploy", one, "cancelled") == "OK"
    assert bench.status("1.deploy") == "void"


# -- giving back ---------------------------------------------------------------------------------


def test_a_step_given_back_is_due_again_and_not_counted_as_lost() -> None:
    bench = Bench(null(1))
    bench.deploy()
    for _ in range(6):
        token = bench.take("1.deploy")
        assert bench.call("again", "1.deploy", token, 2.0).status == "OK"
        assert bench.call("again", "1.deploy", token, 2.0).status == "OK"
        assert isinstance(bench.claim("1.deploy"), NotDue)
        bench.wait(2)
    bench.do("1.deploy")
    assert bench.state(1) == "READY"


def test_retries_are_counted_for_the_hook() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.call("again", "1.deploy", bench.take("1.deploy"), 0.0, "retry")
    claim = bench.claim("1.deploy")
    assert isinstance(claim, Claim)
    assert (claim.tries, claim.retried) == (2, 1)


def test_a_step_that_was_asked_to_stop_is_not_due_again() -> None:
    bench = Bench(null(1))
    bench.deploy()
    token = bench.take("1.deploy")
    bench.call("release", "r", [1])
    bench.call("again", "1.deploy", token, 0.0)
    assert bench.status("1.deploy") == "void"
