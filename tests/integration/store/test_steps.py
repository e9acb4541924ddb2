"""The scripts of workers: claim, renew, progress, commit, again."""

from __future__ import annotations

import time

import pytest
from tests.integration.store.conftest import MakeDriver
from tests.integration.store.driver import Driver, app, node, spec

from nepiq.controller.engine.store import Claim, NotDue, Outcome
from nepiq.controller.model.spec import Gate


class TestClaim:
    def test_a_grant_says_all_that_is_needed(self, driver: Driver) -> None:
        driver.upload(
            node(1),
            app(2, 1, attributes={"command": "true", "n": 1.5}, peers={"node": [1]}),
        )
        driver.deploy([1, 2])
        driver.do("1.deploy")
        claim = driver.claim("2.deploy")
        assert (claim.guid, claim.action, claim.tries, claim.retried) == (2, "deploy", 1, 0)
        assert (claim.rtype, claim.label, claim.occ, claim.state) == (
            "nepiq::Null",
            "r-2",
            1,
            "NEW",
        )
        assert (claim.host, claim.args, claim.peers) == (1, [], {"node": [1]})
        assert claim.attributes == {"command": "true", "n": 1.5}
        assert claim.token == pytest.approx(claim.began * 1e6, abs=2)

    def test_the_same_nonce_gets_the_same_grant(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        first = driver.store.claim(["1.deploy"], "n", "w", "m")[1]
        assert driver.store.claim(["1.deploy"], "n", "w", "m")[1] == first
        assert driver.store.claim(["1.deploy"], "other", "w", "m")[1] == [None]

    def test_tokens_increase(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        tokens = []
        for _ in range(5):
            claim = driver.claim("1.deploy")
            tokens.append(claim.token)
            driver.settle(driver.store.again(claim.step, claim.token, 0))
        assert tokens == sorted(set(tokens))
        assert claim.tries == 5

    def test_nothing_to_do(self, driver: Driver) -> None:
        driver.upload(spec(1, Gate("start", 2, "STARTED")), spec(2))
        driver.deploy([1])
        driver.do("1.deploy")
        assert driver.answers("1.deploy", "1.start", "2.deploy", "9.start", "x") == [None] * 5

    def test_too_early(self, driver: Driver) -> None:
        driver.upload(spec(1), spec(2, Gate("deploy", 1, "STARTED", 25)))
        driver.deploy([1])
        driver.run()
        driver.deploy([2])
        assert driver.due["2.deploy"].delay == pytest.approx(25, abs=1)
        (answer,) = driver.answers("2.deploy")
        assert isinstance(answer, NotDue)
        assert answer.seconds == pytest.approx(25, abs=1)

    def test_far_ahead_the_sweeper_hands_out(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.upload(spec(1), spec(2, Gate("deploy", 1, "STARTED", 100)))
        driver.deploy([1])
        driver.run()
        driver.deploy([2])
        driver.later(80)
        driver.settle(driver.store.sweep())
        assert not driver.due
        driver.later(10)
        driver.settle(driver.store.sweep())
        assert driver.due["2.deploy"].delay == pytest.approx(10, abs=2)

    def test_one_step_of_a_resource_at_a_time(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        step = driver.request(1, "set", "a", 1).detail
        assert driver.answers(step) == [None]
        assert driver.answers(step) == [None]
        driver.commit(claim)
        assert set(driver.due) == {"1.start", step}
        driver.run()
        assert driver.live_steps() == {}

    def test_phase_and_state_forbid(self, driver: Driver) -> None:
        driver.bare(3)
        driver.deploy([1], None)
        driver.run()
        driver.deploy([2, 3], None)
        stop = driver.request(1, "stop").detail
        driver.exited(1, "FINISHED")
        assert driver.answers(stop) == [None]
        assert driver.status(stop) == "void"
        driver.do("2.deploy", "failed", info={"message": "broken"})
        assert driver.phase() == "FAILED"
        assert driver.answers("3.deploy") == [None]
        assert driver.status("3.deploy") == "void"

    def test_many_in_one_call(self, make_driver: MakeDriver) -> None:
        driver = make_driver(limit=500)
        driver.bare(120)
        driver.deploy(range(1, 121))
        steps = list(driver.due)
        claims = driver.answers(*steps)
        assert [claim.step for claim in claims if isinstance(claim, Claim)] == steps
        outcomes = [Outcome(g.step, g.token, "ok") for g in claims if isinstance(g, Claim)]
        reply, statuses = driver.store.commit(outcomes)
        assert statuses == ["OK"] * 120
        driver.settle(reply)
        assert len(driver.due) == 120


class TestHosts:
    def test_a_full_host_lets_steps_line_up(self, driver: Driver) -> None:
        driver.upload(node(1, limit=2), *(app(guid, 1) for guid in range(2, 7)))
        driver.deploy(range(1, 7))
        driver.do("1.deploy")
        steps = [f"{guid}.deploy" for guid in range(2, 7)]
        first, second, *rest = driver.answers(*steps)
        assert isinstance(first, Claim)
        assert isinstance(second, Claim)
        assert rest == [None] * 3
        assert driver.answers(steps[4]) == [None]
        driver.commit(second)
        assert list(driver.due) == ["4.deploy"]  # The head of the line.
        driver.commit(first)
        assert list(driver.due) == ["4.deploy", "5.deploy"]
        driver.run()
        assert set(driver.states().values()) == {"STARTED"}
        assert driver.live_steps() == {}

    def test_a_place_that_is_not_used_goes_to_the_next(self, driver: Driver) -> None:
        driver.upload(node(1, limit=1), *(app(guid, 1, critical=False) for guid in (2, 3, 4)))
        driver.deploy([1, 2, 3, 4])
        driver.do("1.deploy")
        claim = driver.claim("2.deploy")
        assert driver.answers("3.deploy", "4.deploy") == [None, None]
        driver.release([3])
        driver.commit(claim)
        assert "4.deploy" in driver.due

    def test_a_place_that_was_offered_in_vain_goes_on(self, driver: Driver) -> None:
        driver.upload(node(1, limit=1), *(app(guid, 1, critical=False) for guid in (2, 3, 4)))
        driver.deploy([1, 2, 3, 4])
        driver.do("1.deploy")
        claim = driver.claim("2.deploy")
        assert driver.answers("3.deploy", "4.deploy") == [None, None]
        driver.commit(claim)
        assert "3.deploy" in driver.due
        driver.due.clear()
        driver.release([3])
        assert driver.answers("3.deploy") == [None]
        assert "4.deploy" in driver.due

    def test_few_try_out_a_host_that_does_not_answer(self, driver: Driver) -> None:
        driver.upload(node(1, limit=2), *(app(guid, 1, critical=False) for guid in range(2, 6)))
        driver.deploy(range(1, 6))
        driver.do("1.deploy")
        steps = [f"{guid}.deploy" for guid in range(2, 6)]
        claims = [claim for claim in driver.answers(*steps) if isinstance(claim, Claim)]
        for claim in claims:
            driver.settle(driver.store.again(claim.step, claim.token, 0.0, "silent"))
        found_out = time.time()
        assert list(driver.due) == steps[:2]
        assert driver.answers(*steps[2:]) == [None, None]

        # The time of all others runs since it was found out, not since they had a place.
        claims = [driver.claim(step) for step in steps[:2]]
        driver.commit(claims[0], "failed", info={"message": "away"})
        late = driver.claim("4.deploy")
        assert claims[0].began < late.began < found_out
        assert late.began < late.token / 1e6

        # Once the host answers it has all that it had.
        driver.commit(claims[1])
        last = driver.claim("5.deploy")
        assert last.began == pytest.approx(last.token / 1e6, abs=1e-5)
        driver.commit(late)
        driver.commit(last)
        driver.run()
        assert driver.live_steps() == {}

    def test_who_waits_for_its_host_can_be_released(self, driver: Driver) -> None:
        driver.upload(node(1, limit=1), app(2, 1), app(3, 1))
        driver.deploy([1, 2, 3])
        driver.do("1.deploy")
        claim = driver.claim("2.deploy")
        assert driver.answers("3.deploy") == [None]
        driver.settle(driver.store.again(claim.step, claim.token, 60.0, "silent"))
        driver.release()
        driver.run()
        assert set(driver.states().values()) == {"RELEASED"}

    def test_steps_without_io_need_no_place(self, driver: Driver) -> None:
        driver.upload(node(1, limit=1), *(spec(guid, host=1, after=(1,)) for guid in (2, 3)))
        driver.deploy([1, 2, 3])
        claims = driver.answers("1.deploy", "2.deploy", "3.deploy")
        assert all(isinstance(claim, Claim) for claim in claims)
        assert driver.events("claim") == [(1, "claim")]

    def test_nor_do_steps_with_nothing_to_do(self, driver: Driver) -> None:
        driver.upload(node(1, limit=1), app(2, 1, idle=("deploy",)), app(3, 1))
        driver.deploy([1, 2, 3])
        driver.do("1.deploy")
        assert (driver.due["2.deploy"].batch, driver.due["3.deploy"].batch) == (True, False)
        claims = driver.answers("3.deploy", "2.deploy")
        assert all(isinstance(claim, Claim) for claim in claims)
        assert driver.events("claim") == [(1, "claim"), (3, "claim")]

    def test_what_is_local_stays_on_the_machine_that_began(self, driver: Driver) -> None:
        driver.upload(
            node(1, local=True, site="here"),
            node(2, local=True, site="here"),
            node(3, local=True, site="there"),
        )
        driver.deploy([1, 2, 3])
        assert driver.due["1.deploy"].queue == "nepiq.default"
        driver.claim("1.deploy", machine="alpha")
        assert driver.answers("2.deploy", machine="beta") == [None]
        assert driver.due["2.deploy"].queue == "nepiq.m.alpha"
        driver.claim("2.deploy", machine="alpha")
        driver.claim("3.deploy", machine="beta")
        meta = driver.store.meta()
        assert meta is not None
        assert meta.bindings == {"here": "alpha", "there": "beta"}


class TestRenew:
    def test_held_lost_and_to_be_cancelled(self, driver: Driver) -> None:
        driver.bare(3)
        driver.deploy([1, 2, 3])
        held = [(claim.step, claim.token) for claim in driver.answers(*driver.due) if claim]
        assert driver.store.renew("w", held) == ["ok", "ok", "ok"]
        step, token = held[0]
        assert driver.store.renew("w", [(step, token - 1), ("7.start", 1)]) == ["lost", "lost"]
        driver.release([2])
        driver.store.commit([Outcome(*held[2], "ok")])
        assert driver.store.renew("w", held) == ["ok", "cancel", "lost"]

    def test_a_claim_that_is_renewed_is_not_taken_back(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        for _ in range(6):
            driver.sweep_for(9)
            assert driver.store.renew("w", [(claim.step, claim.token)]) == ["ok"]
        assert driver.commit(claim) == "OK"


class TestProgress:
    def test_milestones_on_the_way(self, driver: Driver) -> None:
        driver.upload(spec(1), spec(2, Gate("deploy", 1, "DISCOVERED")))
        driver.deploy([1, 2])
        claim = driver.claim("1.deploy")
        reply = driver.store.progress(claim.step, claim.token, "RESERVED", 0.0, {"ip": "10.0.0.1"})
        driver.settle(reply)
        assert list(driver.due) == ["2.deploy"]
        record = driver.store.record(1)
        assert record is not None
        assert record.state == "RESERVED"
        assert set(record.milestones) == {"DISCOVERED", "RESERVED"}
        assert record.attributes == {"ip": "10.0.0.1"}
        driver.settle(driver.store.progress(claim.step, claim.token, "DISCOVERED"))
        assert driver.state(1) == "RESERVED"
        driver.commit(claim)
        assert driver.state(1) == "READY"

    def test_of_a_stale_attempt(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        reply = driver.store.progress(claim.step, claim.token + 1, "RESERVED")
        assert reply.status == "STALE"
        driver.commit(claim)
        assert driver.store.progress(claim.step, claim.token, "RESERVED").status == "STALE"


class TestCommit:
    def test_a_repeated_commit_is_fine_and_a_stale_one_is_not(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        assert driver.commit(claim) == "OK"
        assert driver.commit(claim) == "OK"
        assert driver.commit(claim._replace(token=claim.token - 1)) == "STALE"
        assert driver.commit(claim._replace(step="9.deploy")) == "STALE"
        assert driver.events("READY") == [(1, "READY")]

    def test_after_it_was_given_back(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        driver.settle(driver.store.again(claim.step, claim.token, 0))
        assert driver.commit(claim) == "STALE"

    def test_what_a_hook_assigned_is_kept(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.do("1.deploy", attrs={"a": "x", "b": None, "c": [], "d": 2**55})
        record = driver.store.record(1)
        assert record is not None
        assert record.attributes == {"a": "x", "b": None, "c": [], "d": 2**55}
        assert driver.claim("1.start").attributes == record.attributes

    def test_cancelled(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.do("1.deploy", "cancelled")
        assert driver.status("1.deploy") == "void"
        assert driver.state(1) == "NEW"

    def test_a_step_that_ended_keeps_little(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.run()
        found = driver.store.step("1.start")
        assert found is not None
        assert (found.status, found.tries) == ("done", 1)
        assert (found.due, found.began, found.worker, found.sent) == (None, None, "", 0)
        assert driver.store.alarms() == 0

    def test_the_end_of_each_step_is_in_the_stream(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.run()
        claim = driver.claim(driver.request(1, "stop").detail)
        driver.exited(1, "STOPPED")
        driver.commit(claim)
        assert driver.events() == [
            (0, "RUNNING"),
            (1, "READY"),
            (1, "STARTED"),
            (1, "STOPPED"),
            (1, "done"),
        ]


class TestAgain:
    def test_due_later_and_counted(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        driver.settle(driver.store.again(claim.step, claim.token, 0, "retry", '{"message":"x"}'))
        assert driver.due["1.deploy"].delay == 0
        later = driver.claim("1.deploy")
        assert (later.tries, later.retried, later.began) == (2, 1, claim.began)
        driver.settle(driver.store.again(later.step, later.token, 20, attrs={"seen": 1}))
        assert driver.due["1.deploy"].delay == pytest.approx(20, abs=1)
        record = driver.store.record(1)
        assert record is not None
        assert (record.attributes, record.running) == ({"seen": 1}, "")

    def test_of_a_stale_attempt(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        assert driver.store.again(claim.step, claim.token - 1, 0).status == "STALE"
        assert driver.status(claim.step) == "claimed"

    def test_of_one_that_was_asked_to_stop(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        driver.release([1])
        driver.due.clear()
        driver.settle(driver.store.again(claim.step, claim.token, 0))
        assert driver.status("1.deploy") == "void"
        driver.answers("1.release")
        assert driver.status("1.release") == "claimed"


class TestWake:
    def test_of_one_that_was_put_back(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        driver.settle(driver.store.again(claim.step, claim.token, 3600))
        assert "1.deploy" not in driver.due
        driver.settle(driver.store.wake("1.deploy"))
        assert driver.due["1.deploy"].delay == 0
        assert driver.claim("1.deploy").tries == 2

    def test_of_one_that_is_about_to_be_put_back(self, driver: Driver) -> None:
        """What it waits for happens while its hook still runs."""
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        driver.settle(driver.store.wake("1.deploy"))
        driver.settle(driver.store.again(claim.step, claim.token, 3600))
        claim = driver.claim("1.deploy")
        # That was for one round.
        driver.due.clear()
        driver.settle(driver.store.again(claim.step, claim.token, 3600))
        assert "1.deploy" not in driver.due

    def test_of_others(self, driver: Driver) -> None:
        driver.bare(1)
        assert driver.store.wake("1.deploy").ok
        assert driver.store.step("1.deploy") is None
        driver.deploy([1])
        driver.commit(driver.claim("1.deploy"))
        assert driver.store.wake("1.deploy").ok
        assert driver.status("1.deploy") == "done"
