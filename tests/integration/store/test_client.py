"""The scripts of clients: create, reserve, upload, deploy, condition, request, snapshot."""

from __future__ import annotations

import math

import pytest
from redis import Redis
from tests.integration.store.conftest import MakeDriver
from tests.integration.store.driver import Driver, app, node, spec
from tests.integration.store.dump import dump

from nepiq.controller.engine.store import ExitReport, RunStore
from nepiq.controller.model.spec import Gate


def test_a_run_is_created_once(driver: Driver) -> None:
    store = driver.store
    status, created = store.create("creator", "exp")
    assert status == "OK"
    assert store.create("other", "exp") == ("CLASH", 0.0)
    meta = store.meta()
    assert meta is not None
    assert (meta.phase, meta.exp_id, meta.live, meta.release_after) == ("RUNNING", "exp", 0, None)
    assert created == meta.created == meta.seen


def test_without_a_run_every_script_answers_gone_and_writes_nothing(redis_client: Redis) -> None:
    store = RunStore(redis_client, "none")
    assert store.reserve(1, "n") == ("GONE", 0)
    assert store.upload("n", [spec(1)]) == "GONE"
    assert store.deploy("d", "new", [1]).status == "GONE"
    assert store.condition(1, Gate("start", 1, "READY")).status == "GONE"
    assert store.request("q", 1, "start").status == "GONE"
    assert store.claim(["1.deploy"], "n", "w", "m")[0].status == "GONE"
    assert store.claim(["1.deploy"], "n", "w", "m")[1] == [None]
    assert store.renew("w", [("1.deploy", 1)]) == ["lost"]
    assert store.progress("1.deploy", 1, "DISCOVERED").status == "GONE"
    assert store.commit([])[0].status == "GONE"
    assert store.again("1.deploy", 1, 0).status == "GONE"
    assert store.exited([ExitReport(1, 1, "FINISHED")])[0].status == "GONE"
    assert store.release("r").status == "GONE"
    assert store.abandon(1, {}).status == "GONE"
    assert store.sweep().status == "GONE"
    assert store.go_on().status == "GONE"
    assert store.snapshot([1]).phase == "GONE"
    assert store.watch(1, "w").status == "GONE"
    assert store.unwatch(1, "w") == "GONE"
    assert store.watched(1, "w", "j", 0) == "GONE"
    assert store.touch() == ("GONE", "")
    assert store.expire() == ("GONE", False)
    assert store.meta() is None
    assert redis_client.dbsize() == 0


def test_blocks_of_guids_do_not_overlap(driver: Driver) -> None:
    store = driver.store
    assert store.reserve(4, "a") == ("OK", 1)
    assert store.reserve(4, "a") == ("OK", 1)
    assert store.reserve(2, "b", at=10) == ("OK", 10)
    assert store.reserve(1, "c", at=3) == ("OK", 12)


def test_an_upload_moves_the_guids_on(driver: Driver) -> None:
    driver.upload(spec(7))
    assert driver.store.reserve(1, "a") == ("OK", 8)


def test_an_upload_of_another_client_clashes_whole(driver: Driver) -> None:
    driver.upload(spec(1))
    assert driver.store.upload("other", [spec(2), spec(1)]) == "CLASH:1"
    assert driver.store.guids() == [1]
    driver.upload(spec(1), spec(2))
    assert driver.store.guids() == [1, 2]
    meta = driver.store.meta()
    assert meta is not None
    assert meta.live == 2


def test_a_large_upload_goes_in_chunks(driver: Driver) -> None:
    specs = [spec(guid) for guid in range(1, 1203)]
    assert driver.store.upload("uploader", specs) == "OK"
    assert driver.store.guids() == list(range(1, 1203))
    assert driver.store.snapshot().states == dict.fromkeys(range(1, 1203), "NEW")


def test_a_redis_that_has_forgotten_the_scripts_is_told_again(driver: Driver) -> None:
    redis = driver.store.redis
    redis.script_flush()
    assert driver.store.touch() == ("OK", "RUNNING")
    redis.script_flush()
    assert driver.store.upload("uploader", [spec(guid) for guid in range(1, 600)]) == "OK"
    assert driver.store.touch() == ("OK", "RUNNING")


def test_what_is_uploaded_can_be_read(driver: Driver) -> None:
    attributes = {"command": 'echo "ü" $HOME', "port": 1.0, "empty": [], "big": 2**60 + 1}
    driver.upload(
        node(1, site="paris", local=True, limit=8),
        app(
            2,
            1,
            Gate("start", 1, "STARTED", 0.5),
            critical=False,
            attributes=attributes,
            peers={"node": [1]},
        ),
    )
    host, found = driver.store.records()
    assert (host.is_host, host.local, host.site, host.limit) == (True, True, "paris", 8)
    assert (host.guid, host.host, host.critical, host.batch) == (1, 1, True, False)
    assert (found.host, found.critical, found.label, found.state) == (1, False, "r-2", "NEW")
    assert found.attributes == attributes
    assert found.peers == {"node": [1]}
    assert (found.occ, found.token, found.running, found.milestones) == (1, 0, "", {})
    assert driver.store.conditions(2) == [
        Gate("deploy", 1, "READY", 0.0, True),
        Gate("start", 1, "STARTED", 0.5),
    ]
    assert driver.store.users(1) == [2]
    assert driver.store.record(3) is None
    assert driver.store.step("2.deploy") is None


def test_a_deployment_is_known_by_its_id(driver: Driver) -> None:
    driver.bare(2)
    store = driver.store
    assert driver.settle(store.deploy("d1", "new", [1])).detail == "1"
    assert driver.settle(store.deploy("d1", "new", [1])).detail == "1"
    assert driver.settle(store.deploy("d2", "new", [2])).detail == "2"
    assert driver.settle(store.deploy("d3", None, [])).detail == ""
    assert driver.settle(store.deploy("d4", 9, [])).detail == "9"
    assert driver.settle(store.deploy("d5", "new", [])).detail == "10"


def test_unknown_and_deployed_ones_are_passed_over(driver: Driver) -> None:
    driver.bare(2)
    driver.deploy([1, 99])
    assert list(driver.due) == ["1.deploy"]
    driver.due.clear()
    driver.deploy([1, 2])
    assert list(driver.due) == ["2.deploy"]


def test_nothing_new_while_the_run_is_being_released(driver: Driver) -> None:
    driver.bare(2)
    driver.deploy([1])
    driver.run()
    driver.release()
    store = driver.store
    assert store.upload("uploader", [spec(5)]) == "CLOSED:RELEASING"
    assert store.reserve(1, "n") == ("CLOSED:RELEASING", 0)
    reply = store.deploy("late", "new", [2])
    assert (reply.status, reply.detail) == ("CLOSED", "RELEASING")
    assert driver.condition(1, "stop", 1, "STARTED").status == "CLOSED"
    assert driver.request(1, "stop").status == "CLOSED"


def test_a_snapshot_and_the_stream_meet(driver: Driver) -> None:
    driver.bare(5)
    driver.deploy(range(1, 6))
    before = driver.store.snapshot()
    assert before.states == dict.fromkeys(range(1, 6), "NEW")
    driver.run()
    later = driver.store.redis.xrange(driver.store.keys.events, f"({before.last_id}")
    started = {int(entry[b"g"]) for _, entry in later if entry[b"e"] == b"STARTED"}
    assert started == set(range(1, 6))
    after = driver.store.snapshot([5, 1, 77])
    assert after.states == {5: "STARTED", 1: "STARTED"}
    assert not driver.store.redis.xrange(driver.store.keys.events, f"({after.last_id}")


def test_a_large_snapshot_goes_in_chunks(driver: Driver) -> None:
    driver.store.upload("uploader", [spec(guid) for guid in range(1, 2102)])
    assert len(driver.store.snapshot().states) == 2101


class TestConditions:
    """A condition at each point of the life of the step that it governs."""

    def test_before_deployment(self, driver: Driver) -> None:
        driver.bare(2)
        assert driver.condition(2, "start", 1, "STARTED").ok
        driver.deploy([1, 2])
        assert driver.run() == ["1.deploy", "2.deploy", "1.start", "2.start"]

    def test_while_its_step_waits(self, driver: Driver) -> None:
        driver.bare(3)
        driver.deploy([1, 2, 3])
        assert driver.condition(3, "start", 1, "STARTED").ok
        assert driver.condition(3, "start", 2, "STARTED").ok
        assert driver.run()[-1] == "3.start"

    def test_while_its_step_is_due(self, driver: Driver) -> None:
        driver.bare(2)
        driver.deploy([1])
        driver.deploy([2])
        assert driver.status("2.deploy") == "due"
        assert driver.condition(2, "deploy", 1, "STARTED").ok
        assert driver.status("2.deploy") == "waiting"
        assert driver.answers("2.deploy") == [None]
        assert driver.run() == ["1.deploy", "1.start", "2.deploy", "2.start"]

    def test_reached_already(self, driver: Driver) -> None:
        driver.bare(2)
        driver.deploy([1])
        driver.run()
        driver.deploy([2])
        driver.due.clear()
        assert driver.condition(2, "deploy", 1, "STARTED").ok
        assert driver.status("2.deploy") == "due"
        assert not driver.due
        assert driver.condition(2, "deploy", 1, "STARTED", 20).ok
        assert driver.due["2.deploy"].delay == pytest.approx(20, abs=1)

    def test_after_its_step_was_claimed_or_given_back(self, driver: Driver) -> None:
        driver.bare(2)
        driver.deploy([1, 2])
        claim = driver.claim("1.deploy")
        reply = driver.condition(1, "deploy", 2, "READY")
        assert (reply.status, reply.detail) == ("TOOLATE", "claimed")
        driver.settle(driver.store.again(claim.step, claim.token, 60))
        assert driver.condition(1, "deploy", 2, "READY").detail == "due"
        assert driver.store.conditions(1) == []

    def test_after_its_step_was_done(self, driver: Driver) -> None:
        driver.bare(2)
        driver.deploy([1, 2])
        driver.run()
        reply = driver.condition(1, "start", 2, "READY")
        assert (reply.status, reply.detail) == ("TOOLATE", "done")

    def test_on_one_that_is_uploaded_later(self, driver: Driver) -> None:
        driver.upload(spec(2, Gate("start", 1, "STARTED")))
        driver.deploy([2])
        driver.run()
        assert driver.store.record(1) is None
        driver.upload(spec(1))
        driver.deploy([1])
        driver.run()
        assert driver.states() == {2: "STARTED", 1: "STARTED"}

    def test_registered_again_it_changes_nothing(self, driver: Driver) -> None:
        driver.bare(2)
        driver.condition(2, "start", 1, "STARTED")
        driver.deploy([1, 2])
        driver.run()
        assert driver.condition(2, "start", 1, "STARTED").ok

    def test_a_stop_step_is_made_for_it(self, driver: Driver) -> None:
        driver.bare(2)
        driver.deploy([1, 2])
        assert driver.status("1.stop") == ""
        assert driver.condition(1, "stop", 2, "STARTED").ok
        assert driver.status("1.stop") == "waiting"
        assert driver.run()[-1] == "1.stop"
        assert driver.state(1) == "STOPPED"

    def test_a_stop_step_is_made_for_one_that_runs(self, driver: Driver) -> None:
        driver.bare(2)
        driver.deploy([1, 2])
        driver.run()
        assert driver.condition(1, "stop", 1, "STARTED").ok
        assert driver.run() == ["1.stop"]

    def test_for_one_that_has_ended_it_is_only_kept(self, driver: Driver) -> None:
        driver.bare(2)
        driver.deploy([1, 2])
        driver.run()
        driver.exited(1, "FINISHED")
        assert driver.condition(1, "stop", 2, "STARTED").ok
        assert driver.status("1.stop") == ""
        assert driver.store.conditions(1) == [Gate("stop", 2, "STARTED")]

    def test_on_something_unknown(self, driver: Driver) -> None:
        driver.bare(1)
        reply = driver.condition(1, "start", 99, "STARTED")
        assert (reply.status, reply.detail) == ("UNKNOWN", "99")
        assert driver.condition(98, "start", 1, "STARTED").detail == "98"


class TestRequests:
    """Steps that somebody asks for now."""

    def test_the_same_request_is_one_step(self, driver: Driver) -> None:
        driver.bare(1)
        first = driver.store.request("q", 1, "set", ["a", 1])
        again = driver.store.request("q", 1, "set", ["a", 1])
        assert first.detail == again.detail == "1.set.1"
        assert driver.request(1, "set", "a", 2).detail == "1.set.2"
        assert [found.step for found in driver.store.steps(1)] == ["1.set.1", "1.set.2"]

    def test_what_the_state_does_not_allow(self, driver: Driver) -> None:
        driver.bare(1)
        for action in ("start", "stop"):
            reply = driver.request(1, action)
            assert (reply.status, reply.detail) == ("ILLEGAL", "NEW")
        assert driver.request(99, "start").status == "UNKNOWN"

    def test_a_start_does_not_wait_for_its_gates(self, driver: Driver) -> None:
        driver.upload(spec(1, Gate("start", 2, "STARTED")), spec(2))
        driver.deploy([1])
        driver.run()
        assert driver.status("1.start") == "waiting"
        step = driver.request(1, "start").detail
        assert driver.status("1.start") == "void"
        assert driver.run() == [step]
        assert driver.state(1) == "STARTED"

    def test_a_start_under_way_is_the_answer(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.do("1.deploy")
        claim = driver.claim("1.start")
        assert driver.request(1, "start").detail == "1.start"
        driver.commit(claim)
        assert driver.live_steps() == {}

    def test_stop_then_start_begins_another_occasion(self, driver: Driver) -> None:
        driver.bare(1)
        driver.deploy([1])
        driver.run()
        assert driver.request(1, "stop").detail == "1.stop.1"
        driver.run()
        assert driver.state(1) == "STOPPED"
        step = driver.request(1, "start").detail
        record = driver.store.record(1)
        assert record is not None
        assert (record.state, record.occ) == ("READY", 2)
        assert set(record.milestones) == {"DISCOVERED", "RESERVED", "PROVISIONED", "READY"}
        claim = driver.claim(step)
        assert claim.occ == 2
        driver.exited(1, "FAILED", occ=1)  # A late line of the first occasion.
        driver.commit(claim)
        assert driver.state(1) == "STARTED"
        driver.exited(1, "FINISHED", occ=2)
        assert driver.state(1) == "FINISHED"

    def test_what_waited_for_the_first_occasion_has_seen_it(self, driver: Driver) -> None:
        driver.bare(8)
        driver.deploy([1], None)
        driver.run()
        for guid in range(2, 9):
            driver.condition(guid, "deploy", 1, "FINISHED")
        driver.deploy(range(2, 9), None)
        (reply,) = driver.store.exited([ExitReport(1, 1, "FINISHED")])
        driver.settle(reply._replace(more=False))
        driver.request(1, "start")
        assert driver.status("1.start.1") == "due"
        for guid in range(2, 9):
            assert driver.status(f"{guid}.deploy") == "due"

    def test_sets_out_of_order(self, driver: Driver) -> None:
        driver.bare(1)
        first = driver.request(1, "set", "rate", 1).detail
        second = driver.request(1, "set", "rate", 2).detail
        later = driver.claim(second)
        assert later.args == ["rate", 2]
        assert driver.answers(first) == [None]  # Parked: it is not run at the same time.
        driver.commit(later, attrs={"rate": 2})
        assert list(driver.due) == [first]
        assert driver.answers(first) == [None]
        found = driver.store.step(first)
        assert found is not None
        assert (found.status, found.why) == ("void", "superseded")
        record = driver.store.record(1)
        assert record is not None
        assert record.attributes == {"rate": 2}
        assert "=rate" in dump(driver.store.redis, driver.store.keys.prefix)["attr:1"]

    def test_a_failed_set_fails_nothing_else(self, driver: Driver) -> None:
        driver.bare(1)
        step = driver.request(1, "set", "rate", 1).detail
        driver.do(step, "failed", info={"message": "no"})
        found = driver.store.step(step)
        assert found is not None
        assert (found.status, found.error) == ("done", {"message": "no"})
        assert driver.state(1) == "NEW"
        assert driver.phase() == "RUNNING"
        assert driver.events("set") == [(1, "set")]


def test_touch_notes_a_client(make_driver: MakeDriver) -> None:
    driver = make_driver()
    assert driver.store.touch() == ("OK", "RUNNING")
    meta = driver.store.meta()
    assert meta is not None
    assert meta.seen >= meta.created


def test_touch_limits_how_long_a_run_goes_on_alone(make_driver: MakeDriver) -> None:
    driver = make_driver()

    def limit() -> float | None:
        meta = driver.store.meta()
        assert meta is not None
        return meta.release_after

    assert driver.store.touch(10.0) == ("OK", "RUNNING")
    assert limit() == 10.0
    driver.store.touch()
    assert limit() == 10.0
    driver.store.touch(math.inf)
    assert limit() is None
