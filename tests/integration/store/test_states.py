"""Transitions: barriers, offsets, ends of processes, failures and what they take along."""

from __future__ import annotations

import pytest
from tests.integration.store.conftest import MakeDriver
from tests.integration.store.driver import Driver, app, node, spec

from nepiq.controller.model.spec import Gate


class TestBarrier:
    def test_nobody_starts_before_all_are_ready(self, driver: Driver) -> None:
        driver.bare(7)
        group = driver.deploy(range(1, 8))
        for guid in range(1, 7):
            driver.do(f"{guid}.deploy")
        assert list(driver.due) == ["7.deploy"]
        assert driver.store.group_opened(int(group)) is None
        driver.do("7.deploy")
        assert sorted(driver.due) == [f"{guid}.start" for guid in range(1, 8)]
        assert driver.store.group_opened(int(group)) is not None

    def test_it_holds_between_two_chunks_of_a_deployment(self, driver: Driver) -> None:
        driver.bare(7)
        reply = driver.store.deploy("d", "new", range(1, 8))
        assert reply.more
        for item in reply.due:
            driver.do(item.step)
        # Draining goes on in the commits: but never does one start before the last is armed.
        assert driver.events("STARTED") == []
        driver.settle(driver.store.go_on())
        driver.run()
        assert len(driver.events("STARTED")) == 7

    def test_a_chunk_that_nobody_goes_on_with_is_not_lost(self, driver: Driver) -> None:
        driver.bare(7)
        reply = driver.store.deploy("d", "new", range(1, 8))
        assert reply.more
        driver.settle(driver.store.sweep())
        driver.settle(reply._replace(more=False))
        driver.run()
        assert set(driver.states().values()) == {"STARTED"}

    def test_who_joins_before_it_opens_counts(self, driver: Driver) -> None:
        driver.bare(3)
        group = driver.deploy([1, 2])
        driver.do("1.deploy")
        driver.deploy([3], group)
        driver.do("2.deploy")
        assert list(driver.due) == ["3.deploy"]
        driver.run()
        assert set(driver.states().values()) == {"STARTED"}

    def test_who_joins_later_starts_when_ready(self, driver: Driver) -> None:
        driver.bare(3)
        group = driver.deploy([1, 2])
        driver.run()
        driver.deploy([3], group)
        assert driver.run() == ["3.deploy", "3.start"]

    def test_without_one_each_starts_when_ready(self, driver: Driver) -> None:
        driver.bare(2)
        driver.deploy([1, 2], None)
        driver.do("1.deploy")
        assert list(driver.due) == ["2.deploy", "1.start"]

    def test_who_failed_does_not_hold_it(self, driver: Driver) -> None:
        driver.bare(3, critical=False)
        driver.deploy([1, 2, 3])
        driver.do("1.deploy", "failed", info={"message": "x"})
        driver.do("2.deploy", "failed", info={"message": "x"})
        driver.run()
        assert driver.states() == {1: "FAILED", 2: "FAILED", 3: "STARTED"}
        assert driver.phase() == "RUNNING"

    def test_all_may_fail(self, driver: Driver) -> None:
        driver.bare(2, critical=False)
        group = driver.deploy([1, 2])
        driver.do("1.deploy", "failed")
        driver.do("2.deploy", "failed")
        assert driver.store.group_opened(int(group)) is not None
        assert driver.live_steps() == {}

    def test_an_empty_one_opens(self, driver: Driver) -> None:
        group = driver.deploy([])
        assert driver.store.group_opened(int(group)) is not None

    def test_who_is_released_does_not_hold_it(self, driver: Driver) -> None:
        driver.bare(3)
        driver.deploy([1, 2, 3])
        driver.do("1.deploy")
        driver.release([3])
        driver.run()
        assert driver.states() == {1: "STARTED", 2: "STARTED", 3: "RELEASED"}


class TestTimes:
    def test_a_milestone_is_as_old_as_the_host_says(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.upload(spec(1), spec(2, Gate("start", 1, "FINISHED", 10)))
        driver.deploy([1, 2])
        driver.run()
        driver.exited(1, "FINISHED", age=0.004)
        record = driver.store.record(1)
        assert record is not None
        # Not before it started, though.
        driver_due = driver.due["2.start"].delay
        assert 9 < driver_due <= 10
        times = record.milestones
        assert times["DISCOVERED"] == times["READY"] <= times["STARTED"] <= times["FINISHED"]

    def test_an_age_does_not_reach_behind_the_claim(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.do("1.deploy")
        claim = driver.claim("1.start")
        driver.commit(claim, age=1000.0)
        record = driver.store.record(1)
        assert record is not None
        assert record.milestones["STARTED"] == pytest.approx(claim.began, abs=1e-5)

    def test_a_step_is_due_at_its_latest_gate(self, driver: Driver) -> None:
        driver.upload(
            spec(1),
            spec(2),
            spec(3, Gate("start", 1, "STARTED", 12), Gate("start", 2, "STARTED", 3)),
        )
        driver.deploy([1, 2, 3], None)
        for step in ("1.deploy", "2.deploy", "1.start", "2.start", "3.deploy"):
            driver.do(step)
        assert driver.due["3.start"].delay == pytest.approx(12, abs=1)

    def test_skipped_milestones_count(self, driver: Driver) -> None:
        wanted = ("DISCOVERED", "PROVISIONED", "STARTED", "STOPPED", "FINISHED")
        driver.upload(
            spec(1),
            *(spec(2 + i, Gate("deploy", 1, name)) for i, name in enumerate(wanted)),
        )
        driver.deploy([1], None)
        driver.deploy(range(2, 7), None)
        driver.run()
        assert driver.states()[4] == "STARTED"
        driver.exited(1, "STOPPED")
        driver.run()
        assert driver.states()[6] == "STARTED"


class TestExit:
    def test_before_the_start_was_committed(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.do("1.deploy")
        claim = driver.claim("1.start")
        driver.exited(1, "FINISHED", info={"code": 0}, attrs={"exitCode": 0})
        driver.exited(1, "FAILED", info={"code": 9})  # The first word counts.
        assert driver.state(1) == "READY"
        driver.commit(claim)
        assert driver.state(1) == "FINISHED"
        assert driver.events("STARTED", "FINISHED") == [(1, "STARTED"), (1, "FINISHED")]
        record = driver.store.record(1)
        assert record is not None
        assert record.attributes == {"exitCode": 0}

    def test_with_the_start(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.do("1.deploy")
        driver.do("1.start", "FINISHED", attrs={"exitCode": 0}, outputs={"stdout": b"\xff\x00hi"})
        assert driver.state(1) == "FINISHED"
        assert driver.store.output(1, "stdout", 1) == b"\xff\x00hi"
        assert driver.store.outputs(1) == {(1, "stdout"): b"\xff\x00hi"}
        assert driver.store.output(1, "stderr", 1) is None

    def test_told_twice(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.run()
        driver.exited(1, "FINISHED", attrs={"exitCode": 0}, outputs={"stdout": b"1"})
        driver.exited(
            1, "FAILED", attrs={"exitCode": 1, "more": 2}, outputs={"stdout": b"2", "x": b"3"}
        )
        record = driver.store.record(1)
        assert record is not None
        assert (record.state, record.attributes) == ("FINISHED", {"exitCode": 0, "more": 2})
        assert driver.store.outputs(1) == {(1, "stdout"): b"1", (1, "x"): b"3"}

    def test_of_something_unknown_or_another_occasion(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.run()
        driver.exited(7, "FINISHED")
        driver.exited(1, "FINISHED", occ=2)
        assert driver.state(1) == "STARTED"

    def test_of_one_that_is_being_released(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.run()
        driver.release()
        driver.exited(1, "FAILED", info={"code": 137})
        assert driver.state(1) == "STOPPED"
        driver.run()
        assert driver.phase() == "RELEASED"

    def test_voids_what_will_not_run(self, driver: Driver) -> None:
        driver.upload(spec(1, Gate("stop", 1, "STARTED", 1000)))
        driver.deploy([1])
        driver.run()
        assert driver.status("1.stop") == "due"
        driver.exited(1, "FINISHED")
        assert driver.status("1.stop") == "void"
        assert driver.store.alarms() == 0
        assert (1, "void") in driver.events()


class TestFailure:
    def test_a_critical_one_ends_the_run_and_takes_along_what_waits(self, driver: Driver) -> None:
        driver.upload(
            spec(1, label="server"),
            spec(2, Gate("start", 1, "STARTED"), label="client"),
            spec(3, Gate("deploy", 2, "FINISHED"), label="report"),
            spec(4, Gate("stop", 1, "FINISHED"), label="monitor"),
        )
        driver.deploy([1, 2, 3, 4], None)
        for step in ("1.deploy", "2.deploy", "4.deploy", "4.start"):
            driver.do(step)
        driver.do("1.start", "failed", info={"message": "exit code 1", "where": "server"})
        assert driver.states() == {1: "FAILED", 2: "FAILED", 3: "FAILED", 4: "STARTED"}
        snapshot = driver.store.snapshot()
        assert snapshot.phase == "FAILED"
        assert snapshot.cause == {
            "guid": 1,
            "label": "server",
            "error": {"message": "exit code 1", "where": "server"},
        }
        errors = {record.label: record.error for record in driver.store.records()}
        assert errors["client"] == {"message": "needs server STARTED, which failed"}
        assert errors["report"] == {"message": "needs client FINISHED, which failed"}
        stop = driver.store.step("4.stop")
        assert stop is not None
        assert (stop.status, stop.why) == (
            "void",
            '{"message":"needs server FINISHED, which failed"}',
        )
        assert driver.live_steps() == {}

    def test_a_condition_may_await_a_failure(self, driver: Driver) -> None:
        driver.upload(spec(1, critical=False), spec(2, Gate("start", 1, "FAILED")))
        driver.deploy([1, 2])
        driver.do("1.deploy", "failed")
        driver.run()
        assert driver.states() == {1: "FAILED", 2: "STARTED"}

    def test_a_dispensable_one_counts_as_reached(self, driver: Driver) -> None:
        driver.upload(
            spec(1, critical=False),
            *(spec(guid, Gate("start", 1, "FINISHED")) for guid in range(2, 9)),
        )
        driver.deploy(range(1, 9), None)
        driver.do("1.deploy", "failed", info={"message": "x"})
        driver.run()
        assert driver.phase() == "RUNNING"
        assert set(driver.states().values()) == {"FAILED", "STARTED"}

    def test_but_not_for_what_needs_it(self, driver: Driver) -> None:
        driver.upload(
            node(1, critical=False), app(2, 1), app(3, 1), spec(4, Gate("start", 2, "STARTED"))
        )
        driver.deploy([1, 2, 3, 4])
        driver.do("1.deploy", "failed", info={"message": "x"})
        driver.run()
        assert driver.states() == {1: "FAILED", 2: "FAILED", 3: "FAILED", 4: "STARTED"}
        assert driver.phase() == "RUNNING"
        found = driver.store.record(2)
        assert found is not None
        assert (found.critical, found.error) == (
            False,
            {"message": "needs r-1 READY, which failed"},
        )

    def test_what_needs_a_failed_one_later_fails_too(self, driver: Driver) -> None:
        driver.upload(node(1, critical=False), app(2, 1))
        driver.deploy([1])
        driver.do("1.deploy", "failed")
        driver.deploy([2])
        assert driver.state(2) == "FAILED"
        assert driver.phase() == "RUNNING"
        assert not driver.due
        assert driver.live_steps() == {}

    def test_what_needs_a_released_one_fails(self, driver: Driver) -> None:
        driver.upload(node(1), app(2, 1))
        driver.release([1])
        driver.upload(app(3, 1))
        driver.deploy([3])
        found = driver.store.record(3)
        assert found is not None
        assert found.error == {"message": "needs r-1 READY, which was released"}

    def test_work_in_flight_is_still_recorded(self, driver: Driver) -> None:
        driver.bare(3)
        driver.deploy([1, 2, 3])
        first, second = driver.claim("1.deploy"), driver.claim("2.deploy")
        driver.commit(first, "failed", info={"message": "x"})
        driver.commit(second)
        assert driver.states() == {1: "FAILED", 2: "READY", 3: "NEW"}
        assert driver.answers("3.deploy") == [None]

    def test_one_that_has_ended_does_not_fail(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.run()
        claim = driver.claim(driver.request(1, "stop").detail)
        driver.exited(1, "FINISHED")
        driver.commit(claim, "failed", info={"message": "x"})
        assert driver.state(1) == "FINISHED"
        assert driver.phase() == "RUNNING"
