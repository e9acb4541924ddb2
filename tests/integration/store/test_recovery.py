"""The sweeper, lost workers, lost machines, exit watchers' leases."""

from __future__ import annotations

from redis import Redis
from tests.integration.store.conftest import MakeDriver
from tests.integration.store.driver import Driver, app, node, spec

from nepiq.controller.engine.store import Claim, ExitReport

LONG = 18.0
"""Longer than a lease."""


def lose(driver: Driver, *steps: str) -> None:
    """Claim steps and let their leases run out."""
    assert all(isinstance(answer, Claim) for answer in driver.answers(*steps))
    driver.sweep_for(LONG)


class TestSweep:
    def test_a_lost_message_is_sent_again_ever_later(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.bare(1)
        driver.deploy([1])
        for sent, pause in enumerate((2, 4, 8, 16, 32, 60, 60), start=1):
            driver.due.clear()
            driver.later(pause - 1)
            assert driver.settle(driver.store.sweep()).detail == "0"
            driver.later(1)
            assert driver.settle(driver.store.sweep()).detail == "1"
            assert list(driver.due) == ["1.deploy"]
            found = driver.store.step("1.deploy")
            assert found is not None
            assert found.sent == sent + 1

    def test_a_lost_worker_is_replaced(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.bare(1)
        driver.deploy([1])
        first = driver.claim("1.deploy")
        driver.sweep_for(LONG)
        assert list(driver.due) == ["1.deploy"]
        second = driver.claim("1.deploy", worker="other")
        assert second.token > first.token
        assert second.tries == 2
        assert driver.commit(first) == "STALE"
        assert driver.commit(second) == "OK"
        assert driver.events("lost") == [(1, "lost")]

    def test_after_a_pause_nothing_is_taken_back_at_once(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.bare(1)
        driver.deploy([1])
        claim = driver.claim("1.deploy")
        driver.sweep_for(3)
        driver.later(100)
        driver.settle(driver.store.sweep())
        driver.sweep_for(9)
        assert driver.status("1.deploy") == "claimed"
        driver.sweep_for(6)
        assert driver.status("1.deploy") == "due"
        assert driver.commit(claim) == "STALE"

    def test_a_step_that_kills_its_workers_fails(self, make_driver: MakeDriver) -> None:
        driver = make_driver(max_lost=3)
        driver.bare(2, critical=False)
        driver.deploy([1, 2])
        driver.do("2.deploy")
        for _ in range(3):
            lose(driver, "1.deploy")
        found = driver.store.record(1)
        assert found is not None
        assert (found.state, found.error) == ("FAILED", {"message": "worker lost 3 times"})
        assert driver.run() == ["2.start"]
        assert driver.live_steps() == {}

    def test_a_release_that_kills_its_workers_ends_too(self, make_driver: MakeDriver) -> None:
        driver = make_driver(max_lost=2)
        driver.bare(1)
        driver.deploy([1])
        driver.run()
        driver.release()
        lose(driver, "1.release")
        lose(driver, "1.release")
        found = driver.store.step("1.release")
        assert found is not None
        assert found.error == {"message": "worker lost 2 times"}
        assert driver.phase() == "RELEASED"

    def test_a_lost_step_that_is_not_wanted_any_more(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.bare(2)
        driver.deploy([1, 2])
        driver.claim("1.deploy")
        driver.do("2.deploy", "failed", info={"message": "x"})
        driver.sweep_for(LONG)
        assert driver.status("1.deploy") == "void"

    def test_what_is_parked_goes_on_when_the_worker_is_lost(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.bare(1)
        driver.deploy([1])
        driver.claim("1.deploy")
        step = driver.request(1, "set", "a", 1).detail
        assert driver.answers(step) == [None]
        driver.sweep_for(LONG)
        assert {step, "1.deploy"} <= set(driver.due)

    def test_a_run_without_a_client_is_released(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        store = driver.store
        store.redis.flushall()
        assert store.create("creator", "exp", release_after=600)[0] == "OK"
        driver.bare(2)
        driver.deploy([1, 2])
        driver.run()
        driver.later(500)
        store.touch()
        driver.later(500)
        driver.settle(store.sweep())
        assert driver.phase() == "RUNNING"
        driver.later(500)
        driver.settle(store.sweep())
        assert driver.phase() == "RUNNING"  # The client may have stood still as the sweepers did.
        driver.sweep_for(13)
        assert driver.phase() == "RELEASING"
        driver.run()
        assert driver.phase() == "RELEASED"

    def test_more_alarms_than_the_limit(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.bare(7)
        driver.deploy(range(1, 8))
        driver.due.clear()
        driver.later(2)
        assert len(driver.store.overdue()) == 7
        assert driver.store.overdue(slack=10) == []
        while driver.settle(driver.store.sweep()).detail == "3":
            pass
        assert len(driver.due) == 7

    def test_nothing_is_sent_twice_into_a_long_queue(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.bare(1, queue="nepiq.far")
        driver.deploy([1])
        driver.due.clear()
        for _ in range(5):
            driver.later(60)
            assert driver.settle(driver.store.sweep(["nepiq.far"])).detail == "1"
        assert not driver.due
        driver.later(60)
        driver.settle(driver.store.sweep(["nepiq.far"]))  # The message may be lost after all.
        assert list(driver.due) == ["1.deploy"]

    def test_those_lost_together_part_ways(self, make_driver: MakeDriver) -> None:
        driver = make_driver(limit=100)
        driver.bare(8)
        driver.deploy(range(1, 9))
        steps = list(driver.due)
        lose(driver, *steps)
        assert [driver.due[step].delay for step in steps] == [0] * 8
        lose(driver, *steps)
        delays = {driver.store.step(step).due for step in steps}  # type: ignore[union-attr]
        assert len(delays) == 8


class TestAbandon:
    GONE = {"message": "worker machine alpha has been gone for 60 s"}

    def test_what_lived_there_fails(self, driver: Driver) -> None:
        driver.upload(node(1), app(2, 1), app(3, 1, after=(2,)), node(4), app(5, 4))
        driver.deploy(range(1, 6))
        driver.run()
        driver.settle(driver.store.abandon(1, self.GONE))
        assert driver.states() == {
            1: "FAILED",
            2: "FAILED",
            3: "FAILED",
            4: "STARTED",
            5: "STARTED",
        }
        found = driver.store.record(3)
        assert found is not None
        assert found.error == self.GONE
        driver.release()
        driver.run()
        assert driver.phase() == "RELEASED"
        assert driver.status("2.release") == ""

    def test_what_was_being_released_is(self, driver: Driver) -> None:
        driver.upload(node(1), app(2, 1), app(3, 1))
        driver.deploy([1, 2, 3])
        driver.run()
        driver.release()
        driver.claim("2.release")
        driver.settle(driver.store.abandon(1, self.GONE))
        assert driver.phase() == "RELEASED"
        found = driver.store.step("2.release")
        assert found is not None
        assert (found.status, found.error) == ("void", self.GONE)
        assert driver.live_steps() == {}

    def test_of_something_unknown(self, driver: Driver) -> None:
        assert driver.store.abandon(9, self.GONE).status == "UNKNOWN"

    def test_only_the_holder_of_the_watch_gives_a_host_up(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.upload(node(1), app(2, 1))
        driver.deploy([1, 2])
        driver.run()
        store = driver.store
        assert store.watch(1, "w old").status == "OK"
        driver.later(13)
        assert store.abandon(1, self.GONE, "w old").status == "TAKEN"  # its lease has run out
        assert store.watch(1, "w new").status == "OK"
        assert store.abandon(1, self.GONE, "w old").status == "TAKEN"
        assert driver.states() == {1: "STARTED", 2: "STARTED"}
        assert driver.settle(store.abandon(1, self.GONE, "w new")).ok
        assert driver.states() == {1: "FAILED", 2: "FAILED"}
        assert store.abandon(1, self.GONE, "w new").ok

    def test_a_judgement_grows_old(self, driver: Driver) -> None:
        driver.upload(node(1))
        driver.deploy([1])
        driver.run()
        now = driver.store.now()
        assert driver.store.abandon(1, self.GONE, until=now - 1).status == "LATE"
        assert driver.state(1) == "STARTED"
        assert driver.settle(driver.store.abandon(1, self.GONE, until=now + 60)).ok
        assert driver.state(1) == "FAILED"


class TestWatch:
    def test_one_worker_follows_a_journal(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.upload(node(1), spec(2))
        store = driver.store
        assert store.watch(1, "w").status == "NONE"
        driver.deploy([1, 2])
        driver.run()
        assert store.watches() == {1: 0.0}
        granted = store.watch(1, "w")
        assert (granted.status, granted.journal, granted.offset) == ("OK", "", 0)
        assert store.watch(1, "other").status == "TAKEN"
        assert store.watch(1, "w").status == "OK"
        assert store.watched(1, "w", "j1", 120) == "OK"
        assert store.watched(1, "w", "j1", 80) == "OK"
        driver.later(12)
        taken = store.watch(1, "other")
        assert (taken.status, taken.journal, taken.offset) == ("OK", "j1", 120)
        assert store.watched(1, "other", "j2", 7) == "OK"
        assert store.unwatch(1, "w") == "TAKEN"
        assert store.unwatch(1, "other") == "OK"
        later = store.watch(1, "w")
        assert (later.status, later.journal, later.offset) == ("OK", "j2", 7)

    def test_only_its_holder_tells_what_it_says(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        driver.upload(node(1), app(2, 1), node(3), app(4, 3))
        driver.deploy([1, 2, 3, 4])
        driver.run()
        store, told = driver.store, {"outputs": {"stdout": b"x"}}
        assert store.watch(1, "w old").status == "OK"
        driver.later(13)
        assert store.watch(1, "w new").status == "OK"
        assert store.watched(1, "w old", "j", 7) == "TAKEN"
        assert store.unwatch(1, "w old") == "TAKEN"
        ends = [ExitReport(guid, 1, "FINISHED", **told) for guid in (2, 4, 9)]
        assert [reply.status for reply in store.exited(ends[:1], (1, "w old"))] == ["TAKEN"]
        replies = store.exited(ends[1:], (1, "w new"))
        assert [reply.status for reply in replies] == ["FOREIGN", "FOREIGN"]
        assert driver.states()[2] == driver.states()[4] == "STARTED"
        assert store.output(2, "stdout", 1) is store.output(4, "stdout", 1) is None
        driver.exited(2, "FINISHED", watch=(1, "w new"), **told)
        assert driver.state(2) == "FINISHED"
        assert store.output(2, "stdout", 1) == b"x"

    def test_nobody_follows_that_of_a_released_node(self, driver: Driver) -> None:
        driver.upload(node(1))
        driver.deploy([1])
        driver.run()
        driver.release()
        driver.run()
        assert driver.store.watches() == {}
        assert driver.store.watch(1, "w").status == "NONE"
        assert driver.store.watched(1, "w", "j", 1) == "NONE"
        assert driver.store.unwatch(1, "w") == "NONE"


def test_a_bare_resource_takes_less_than_a_kilobyte(redis_client: Redis) -> None:
    driver = Driver(redis_client, twice=False, limit=500)
    before = redis_client.info("memory")["used_memory_dataset"]
    driver.bare(2000)
    driver.deploy(range(1, 2001))
    driver.run()
    assert len(driver.events("STARTED")) == 2000
    used = redis_client.info("memory")["used_memory_dataset"] - before
    assert used / 2000 <= 1000
