"""Release, whole and in part, and what becomes of a run after it."""

from __future__ import annotations

from redis import Redis
from tests.integration.store.conftest import MakeDriver
from tests.integration.store.driver import Driver, app, node, spec
from tests.integration.store.dump import dump

from nepiq.controller.engine.store import ExitReport, Outcome
from nepiq.controller.model.spec import Gate


def test_hosts_come_after_what_lives_on_them(driver: Driver) -> None:
    driver.upload(node(1), app(2, 1), app(3, 1), app(4, 1, after=(1, 2)), node(5))
    driver.deploy(range(1, 6))
    driver.run()
    driver.release()
    order = [step for step in driver.run() if step.endswith(".release")]
    assert order.index("4.release") < order.index("2.release") < order.index("1.release")
    assert order.index("3.release") < order.index("1.release")
    assert set(driver.states().values()) == {"RELEASED"}
    assert driver.phase() == "RELEASED"
    assert driver.live_steps() == {}
    assert (driver.store.alarms(), driver.store.todo()) == (0, 0)


def test_the_last_reply_says_that_the_run_has_ended(driver: Driver) -> None:
    driver.bare(1)
    driver.deploy([1])
    driver.run()
    driver.release()
    claim = driver.claim("1.release")
    reply, _ = driver.store.commit([Outcome(claim.step, claim.token, "ok")])
    assert reply.ended
    assert driver.events("RELEASING", "RELEASED") == [
        (0, "RELEASING"),
        (1, "RELEASED"),
        (0, "RELEASED"),
    ]


def test_what_was_never_deployed_is_released_at_once(driver: Driver) -> None:
    driver.bare(7)
    driver.deploy([1, 2, 3])
    driver.release()
    assert driver.phase() == "RELEASED"
    assert driver.answers("1.deploy", "2.deploy") == [None, None]
    assert driver.live_steps() == {}


def test_nor_is_it_if_redis_may_have_forgotten_its_claim(driver: Driver) -> None:
    driver.bare(1)
    key = driver.store.keys.of("meta")
    record = driver.store.redis.get(key).decode()
    server = driver.store.redis.info("server")["run_id"]
    assert server in record
    driver.store.redis.set(key, record.replace(server, "another"))
    driver.release()
    assert driver.status("1.release") == "due"
    driver.run()
    assert driver.phase() == "RELEASED"


def test_a_run_without_resources(driver: Driver) -> None:
    driver.release()
    assert driver.phase() == "RELEASED"


def test_a_step_in_flight_is_asked_to_stop_and_waited_for(driver: Driver) -> None:
    driver.bare(1)
    driver.deploy([1])
    claim = driver.claim("1.deploy")
    driver.release()
    assert driver.store.renew("w", [(claim.step, claim.token)]) == ["cancel"]
    assert driver.answers("1.release") == [None]
    driver.commit(claim, "cancelled")
    assert driver.run() == ["1.release"]
    assert driver.phase() == "RELEASED"


def test_an_error_in_it_is_noted_and_it_goes_on(driver: Driver) -> None:
    driver.upload(node(1), app(2, 1))
    driver.deploy([1, 2])
    driver.run()
    driver.release()
    driver.do("2.release", "failed", info={"message": "busy"})
    driver.run()
    found = driver.store.step("2.release")
    assert found is not None
    assert found.error == {"message": "busy"}
    assert driver.phase() == "RELEASED"


def test_what_has_ended_is_left_to_its_host(driver: Driver) -> None:
    driver.upload(node(1), *(app(guid, 1, left_to_host=True) for guid in (2, 3, 4, 5)))
    driver.upload(app(6, 1, left_to_host=True, after=(1, 5)), app(7, 1))
    driver.deploy(range(1, 8))
    driver.run()
    for guid in (2, 3, 4, 5, 7):
        driver.exited(guid, "FINISHED")
    driver.request(4, "set", "hardRelease", True)
    driver.release([3])
    assert driver.run() == ["4.set.1", "3.release"]
    driver.release()
    assert driver.state(2) == "RELEASED"
    # 4 was set, 6 runs, 7 is not of this kind; 5 waits for 6.
    assert sorted(driver.due) == ["4.release", "6.release", "7.release"]
    driver.do("6.release")
    claim = driver.claim("5.release")
    assert claim.covered
    assert not driver.claim("4.release").covered
    driver.commit(claim)
    assert driver.status("1.release") == "waiting"


def test_what_is_configured_is_released_at_once_if_nothing_lives_on_it(driver: Driver) -> None:
    driver.upload(node(1), app(2, 1, covered=True), app(3, 1, covered=True, after=(1, 2)))
    driver.deploy([1, 2, 3])
    driver.run()
    driver.release()
    # In the order of their numbers: 2 had a user then.
    assert driver.states() == {1: "STARTED", 2: "STARTED", 3: "RELEASED"}
    assert driver.claim("2.release").covered


def test_in_part_with_what_lives_on_it(driver: Driver) -> None:
    driver.upload(node(1), app(2, 1), app(3, 1, after=(2,)), node(4), app(5, 4))
    driver.deploy(range(1, 6))
    driver.run()
    driver.release([1])
    driver.run()
    assert driver.states() == {
        1: "RELEASED",
        2: "RELEASED",
        3: "RELEASED",
        4: "STARTED",
        5: "STARTED",
    }
    assert driver.phase() == "RUNNING"
    driver.release()
    driver.run()
    assert driver.phase() == "RELEASED"


def test_in_part_opens_what_waits_for_it(driver: Driver) -> None:
    driver.upload(spec(1), spec(2, Gate("start", 1, "RELEASED")))
    driver.deploy([1, 2])
    driver.run()
    assert driver.status("2.start") == "waiting"
    driver.release([1])
    driver.run()
    assert driver.state(2) == "STARTED"


def test_while_a_deployment_is_being_armed(driver: Driver) -> None:
    driver.bare(8)
    reply = driver.store.deploy("d", "new", range(1, 9))
    assert reply.more
    driver.release()
    driver.run()
    assert set(driver.states().values()) == {"RELEASED"}
    assert driver.live_steps() == {}
    assert driver.store.todo() == 0


def test_stop_steps_run_after_a_failure_but_not_in_release(driver: Driver) -> None:
    driver.upload(spec(1), spec(2, Gate("stop", 2, "STARTED")))
    driver.deploy([1, 2], None)
    for step in ("1.deploy", "2.deploy", "2.start"):
        driver.do(step)
    driver.do("1.start", "failed", info={"message": "x"})
    assert driver.run() == ["2.stop"]
    driver.release()
    driver.run()
    assert driver.phase() == "RELEASED"


class TestExpiry:
    def test_it_leaves_no_key(self, driver: Driver, redis_client: Redis) -> None:
        driver.upload(node(1, limit=1), app(2, 1), app(3, 1, attributes={"a": 1}))
        driver.upload(spec(4, Gate("start", 2, "FINISHED")), *map(spec, range(5, 9)))
        driver.deploy(range(1, 9))
        driver.run()
        driver.request(3, "set", "a", 2)
        driver.run()
        driver.exited(2, "FINISHED", outputs={"stdout": b"x"})
        driver.run()
        assert driver.store.watch(1, "w").status == "OK"
        assert driver.store.watched(1, "w", "j", 10) == "OK"
        assert driver.store.expire() == ("CLOSED", True)
        driver.release([8])
        driver.release()
        driver.run()
        assert driver.phase() == "RELEASED"
        assert driver.store.output(2, "stdout", 1) == b"x"
        assert driver.store.expire() == ("OK", True)
        assert driver.phase() == "GONE"
        while driver.store.expire()[1]:
            pass
        assert redis_client.keys("*") == []
        assert driver.store.expire() == ("GONE", False)

    def test_late_calls_bring_nothing_back(self, driver: Driver, redis_client: Redis) -> None:
        driver.bare(5)
        driver.deploy(range(1, 6))
        claim = driver.claim("1.deploy")
        driver.release()
        driver.commit(claim)
        driver.run()
        assert driver.store.expire()[1]
        before = dump(redis_client, driver.store.keys.prefix)
        self._late(driver, claim.step, claim.token)
        assert dump(redis_client, driver.store.keys.prefix) == before
        while driver.store.expire()[1]:
            pass
        self._late(driver, claim.step, claim.token)
        assert redis_client.keys("*") == []

    @staticmethod
    def _late(driver: Driver, step: str, token: int) -> None:
        store = driver.store
        assert store.commit([Outcome(step, token, "ok")])[1] == ["GONE"]
        assert store.renew("w", [(step, token)]) == ["lost"]
        (reply,) = store.exited([ExitReport(1, 1, "FINISHED", outputs={"stdout": b"x"})])
        assert reply.status == "GONE"
        assert store.watch(1, "w").status == "GONE"
        assert store.sweep().status == "GONE"
        assert store.touch() == ("GONE", "")

    def test_numbered_steps_and_groups_go_too(
        self, make_driver: MakeDriver, redis_client: Redis
    ) -> None:
        driver = make_driver(limit=500)
        driver.bare(2)
        for group in ("new", 40):
            driver.deploy([1, 2], group)
        driver.run()
        for value in range(20):
            driver.request(1, "set", "a", value)
            driver.run()
        driver.release()
        driver.run()
        assert driver.store.expire() == ("OK", False)
        assert redis_client.keys("*") == []
