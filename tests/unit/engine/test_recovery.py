"""What is taken up again: lost messages, lost workers, Redis itself standing still."""

from __future__ import annotations

import itertools

import pytest
from tests.unit.engine.bench import Bench, app, node, null

from nepiq.controller.engine.store.calls import NotDue


def lose(bench: Bench, step: str) -> int:
    """Claim a step and let its worker die; the token of that attempt."""
    token = bench.take(step)
    bench.wait(13)
    bench.sweep()
    return token


def test_a_lost_message_is_sent_again_ever_more_patiently() -> None:
    bench = Bench(null(1))
    bench.deploy()
    sent = []
    for _ in range(200):
        bench.wait(1)
        bench.handed_out()
        bench.sweep()
        if bench.handed_out():
            sent.append(bench.now - 1000)
    gaps = [after - before for before, after in itertools.pairwise(sent)]
    assert sent[0] == 2
    assert gaps == [4, 8, 16, 32, 60, 60]


def test_a_claim_whose_worker_died_is_given_to_another() -> None:
    bench = Bench(null(1))
    bench.deploy()
    old = lose(bench, "1.deploy")
    assert "1.deploy" in bench.handed_out()
    bench.do("1.deploy")
    assert bench.commit("1.deploy", old) == "STALE"


def test_a_claim_that_is_renewed_is_not_taken_back() -> None:
    bench = Bench(null(1))
    bench.deploy()
    token = bench.take("1.deploy")
    for _ in range(10):
        bench.wait(3)
        assert bench.model.renew("w1", [("1.deploy", token)]) == ["ok"]
        bench.sweep()
    assert bench.commit("1.deploy", token) == "OK"


def test_after_a_pause_of_redis_leases_get_time_to_be_renewed() -> None:
    bench = Bench(null(1))
    bench.deploy()
    token = bench.take("1.deploy")
    bench.sweep()
    bench.wait(30)  # Redis stood still: nobody could renew, nobody swept.
    bench.call("sweep")
    assert bench.status("1.deploy") == "claimed"
    bench.wait(1)
    assert bench.model.renew("w1", [("1.deploy", token)]) == ["ok"]
    bench.wait(10)
    bench.sweep()
    assert bench.status("1.deploy") == "claimed"
    bench.wait(3)
    bench.sweep()
    assert bench.status("1.deploy") == "due"


def test_a_step_that_lost_four_workers_fails() -> None:
    bench = Bench(null(1, critical=False))
    bench.deploy()
    for lost in range(4):
        assert bench.state(1) == "NEW", lost
        lose(bench, "1.deploy")
        bench.wait(20)
    assert bench.state(1) == "FAILED"
    assert "worker lost 4 times" in bench.error(1)


def test_a_release_that_lost_four_workers_is_a_release_with_a_note() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.start(1)
    bench.call("release", "r")
    for _ in range(4):
        lose(bench, "1.release")
        bench.wait(20)
    assert bench.phase == "RELEASED"
    assert "worker lost" in bench.model.step("1.release")["error"]


def test_a_set_that_lost_four_workers_is_void_and_fails_nothing() -> None:
    bench = Bench(null(1))
    bench.deploy()
    bench.start(1)
    bench.call("request", "q", 1, "set", ["a", 1])
    for _ in range(4):
        lose(bench, "1.set.1")
        bench.wait(20)
    assert (bench.status("1.set.1"), bench.state(1)) == ("void", "STARTED")


def test_steps_that_were_lost_together_do_not_meet_again() -> None:
    """Else a step that kills its workers takes the same neighbours with it until they fail."""
    bench = Bench(null(1), null(2))
    bench.deploy()
    orders = []
    for _ in range(3):
        for step in ("1.deploy", "2.deploy"):
            bench.take(step)
        bench.wait(13)
        bench.sweep()
        due = [float(bench.model.step(f"{guid}.deploy")["due"]) for guid in (1, 2)]
        orders.append((due[0] > due[1]) - (due[0] < due[1]))
        bench.wait(20)
    assert orders == [0, -1, 1]


def test_a_lost_step_waits_for_its_turn() -> None:
    bench = Bench(null(3))
    bench.deploy()
    lose(bench, "3.deploy")
    lose(bench, "3.deploy")
    assert isinstance(bench.claim("3.deploy"), NotDue)


def test_a_lost_step_is_void_where_the_phase_forbids_it() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    bench.take("2.deploy")
    bench.do("1.deploy", "failed")
    bench.wait(13)
    bench.sweep()
    assert bench.status("2.deploy") == "void"


def test_a_lost_step_that_was_asked_to_stop_is_void() -> None:
    bench = Bench(null(1), null(2))
    bench.deploy()
    bench.take("1.deploy")
    bench.call("release", "r", [1])
    bench.wait(13)
    bench.sweep()
    assert bench.status("1.deploy") == "void"
    bench.do("1.release")
    assert bench.state(1) == "RELEASED"


def test_a_lost_claim_frees_its_rm_and_its_place() -> None:
    bench = Bench(node(1, limit=1), app(2, 1), app(3, 1))
    bench.deploy()
    bench.do("1.deploy")
    bench.take("2.deploy")
    assert bench.claim("3.deploy") is None
    bench.handed_out()
    bench.wait(13)
    bench.sweep()
    assert {"2.deploy", "3.deploy"} <= set(bench.handed_out())


def test_a_step_in_line_stays_there_however_long_it_takes() -> None:
    bench = Bench(node(1, limit=1), app(2, 1), app(3, 1))
    bench.deploy()
    bench.do("1.deploy")
    token = bench.take("2.deploy")
    assert bench.claim("3.deploy") is None
    bench.handed_out()
    for _ in range(50):
        bench.wait(3)
        bench.model.renew("w1", [("2.deploy", token)])
        bench.sweep()
    assert bench.handed_out() == []
    bench.commit("2.deploy", token)
    assert bench.handed_out() == ["3.deploy"]


def test_an_offered_place_whose_message_was_lost_is_offered_again() -> None:
    bench = Bench(node(1, limit=1), app(2, 1), app(3, 1))
    bench.deploy()
    bench.do("1.deploy")
    token = bench.take("2.deploy")
    assert bench.claim("3.deploy") is None
    bench.commit("2.deploy", token)
    bench.handed_out()
    bench.wait(5)
    bench.sweep()
    assert bench.handed_out() == ["3.deploy"]
    bench.do("3.deploy")


@pytest.mark.parametrize("limit", [1, 3])
def test_the_sweeper_goes_on_with_what_a_dead_client_left(limit: int) -> None:
    bench = Bench(*(null(guid) for guid in range(1, 8)), limit=limit)
    assert bench.deploy(settle=False).more
    while bench.model.todo:
        bench.wait(1)
        bench.submitted += bench.model.sweep().due
    assert {bench.status(f"{guid}.deploy") for guid in range(1, 8)} == {"due"}


# -- exit watchers ---------------------------------------------------------------------------------


def test_a_journal_is_followed_by_one_worker_and_taken_over_when_its_lease_ends() -> None:
    bench = Bench(node(1))
    bench.deploy()
    assert bench.model.watch(1, "w1").status == "NONE"
    bench.do("1.deploy")
    assert bench.model.watch(1, "w1").status == "OK"
    assert bench.model.watch(1, "w2").status == "TAKEN"
    assert bench.model.watched(1, "w1", "j1", 50) == "OK"
    assert bench.model.watched(1, "w1", "j1", 20) == "OK"
    bench.wait(13)
    watch = bench.model.watch(1, "w2")
    assert (watch.status, watch.journal, watch.offset) == ("OK", "j1", 50)
    assert bench.model.watched(1, "w2", "j2", 5) == "OK"
    assert bench.model.unwatch(1, "w1") == "TAKEN"
    assert bench.model.unwatch(1, "w2") == "OK"
    assert bench.model.watch(1, "w3").offset == 5


def test_a_watcher_that_is_ahead_of_redis_is_told_so() -> None:
    bench = Bench(node(1))
    bench.deploy()
    bench.do("1.deploy")
    bench.model.watch(1, "w1")
    bench.model.watched(1, "w1", "j1", 50)
    earlier = bench.model.copy()
    assert bench.model.watched(1, "w1", "j1", 90, 50) == "OK"
    bench.model.restore(earlier)
    assert bench.model.watched(1, "w1", "j1", 120, 90) == "BEHIND"
    assert bench.model.watch(1, "w1").offset == 50
