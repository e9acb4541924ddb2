"""Ends without a process, and restarts that a host reports."""

from __future__ import annotations

import pytest
from tests.integration.store.driver import Driver, app, node

from nepiq.controller.engine.store import NotDue


class TestEndsByItself:
    """One without a process that is FINISHED some time after its start."""

    def start(self, driver: Driver, lasts: float = 20.0) -> str:
        driver.bare(2)
        driver.deploy([1, 2], None)
        driver.do("1.deploy")
        driver.do("1.start", "lasts", end_age=lasts)
        (step,) = (step for step in driver.live_steps() if step.startswith("1.finish."))
        return step

    def test_it_ends_then_and_not_before(self, driver: Driver) -> None:
        step = self.start(driver)
        assert driver.due[step].delay == pytest.approx(20.0, abs=0.1)
        assert isinstance(driver.answers(step)[0], NotDue)
        assert driver.state(1) == "STARTED"
        driver.later(25.0)
        driver.do(step)
        record = driver.store.record(1)
        assert record is not None
        assert record.state == "FINISHED"
        lasted = record.milestones["FINISHED"] - record.milestones["STARTED"]
        assert lasted == pytest.approx(20.0, abs=1e-5)
        assert driver.events("claim") == []

    def test_one_that_is_far_away_waits_in_redis(self, driver: Driver) -> None:
        step = self.start(driver, 3600.0)
        assert step not in driver.due
        driver.sweep_for(3590.0)
        assert step in driver.due

    def test_a_stop_comes_before(self, driver: Driver) -> None:
        step = self.start(driver)
        stop = driver.request(1, "stop").detail
        driver.do(stop)
        assert (driver.state(1), driver.status(step)) == ("STOPPED", "void")
        # A new start has an end of its own.
        again = driver.request(1, "start").detail
        driver.do(again, "lasts", end_age=5.0)
        (second,) = (item for item in driver.live_steps() if item.startswith("1.finish."))
        assert second != step

    def test_a_stop_while_it_ends_finds_it_ended(self, driver: Driver) -> None:
        step = self.start(driver, 0.0)
        claim = driver.claim(step)
        stop = driver.request(1, "stop").detail
        assert driver.commit(claim) == "OK"
        assert driver.state(1) == "FINISHED"
        assert driver.status(stop) == "void"

    def test_a_release_cancels_it(self, driver: Driver) -> None:
        step = self.start(driver)
        driver.release()
        assert driver.status(step) == "void"
        driver.run()
        assert driver.state(1) == "RELEASED"

    def test_it_ends_after_the_run_failed(self, driver: Driver) -> None:
        step = self.start(driver, 0.0)
        driver.do("2.deploy", "failed", info={"message": "x"})
        assert driver.phase() == "FAILED"
        driver.do(step)
        assert driver.state(1) == "FINISHED"

    def test_a_worker_that_dies_in_it_changes_nothing(self, driver: Driver) -> None:
        step = self.start(driver, 0.0)
        driver.claim(step)
        driver.sweep_for(30.0)
        driver.do(step)
        record = driver.store.record(1)
        assert record is not None
        lasted = record.milestones["FINISHED"] - record.milestones["STARTED"]
        assert lasted == pytest.approx(0.0, abs=1e-5)

    def test_it_cannot_be_requested(self, driver: Driver) -> None:
        self.start(driver)
        assert driver.request(1, "finish").status == "ILLEGAL"


class TestRestarts:
    def test_each_is_noted_once(self, driver: Driver) -> None:
        driver.upload(node(1), app(2, 1))
        driver.deploy([1, 2])
        driver.run()
        for number in (1, 2, 1, 2, 3):
            info = {"code": 7, "restarts": number}
            driver.exited(2, "RESTARTED", info=info, attrs={"restarts": number})
        assert driver.events("restart") == [(2, "restart")] * 3
        record = driver.store.record(2)
        assert record is not None
        assert (record.state, record.attributes["restarts"]) == ("STARTED", 3)
        driver.exited(2, "RESTARTED", occ=2, info={"code": 7, "restarts": 9})
        driver.exited(2, "FINISHED")
        assert driver.state(2) == "FINISHED"
        # A new start counts anew.
        driver.request(2, "start")
        driver.run()
        driver.exited(2, "RESTARTED", occ=2, info={"code": 7, "restarts": 1})
        assert len(driver.events("restart")) == 4
