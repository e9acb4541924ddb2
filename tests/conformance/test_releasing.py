"""Cases 26 and 27, and what else holds of releases."""

from __future__ import annotations

import pytest
from tests.conformance.conftest import Make
from tests.stand import Stand

from nepiq.controller import (
    ECState,
    ExperimentController,
    InvalidValue,
    NotAllowed,
    ResourceAction,
    ResourceState,
    WaitTimeout,
)

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(120)]

S = ResourceState
DEPLOY, START, STOP = ResourceAction.DEPLOY, ResourceAction.START, ResourceAction.STOP


def null(ec: ExperimentController, **options: object) -> int:
    return ec.register_resource("nepiq::Null", **options)


def states(ec: ExperimentController, guids: list[int]) -> list[str]:
    return [ec.state(guid, hr=True) for guid in guids]


def test_case_26_the_order_of_release(make: Make) -> None:
    ec = make()
    node = ec.register_resource("dummy::Node")
    apps = [ec.register_resource("dummy::Application", connectedTo=node) for _ in range(3)]
    ec.deploy()
    assert ec.wait_started(timeout=20)
    ec.shutdown()
    assert ec.ecstate is ECState.TERMINATED
    assert states(ec, [node, *apps]) == ["RELEASED"] * 4
    assert all(ec.get_release_time(node) >= ec.get_release_time(app) for app in apps)
    ec.release()
    ec.shutdown()


def test_case_27_released_is_the_end(make: Make) -> None:
    ec = make()
    bad = ec.register_resource("dummy::Unreleasable")
    ec.deploy()
    assert ec.wait_started(bad, timeout=20)
    ec.release(bad)
    assert ec.state(bad) is S.RELEASED
    assert "cannot let go" in str(ec.failures[0])
    with pytest.raises(NotAllowed):
        ec.stop(bad)


def test_waiting_for_the_release_of_one_that_failed(make: Make) -> None:
    ec = make()
    bad = ec.register_resource("dummy::ErrorApplication")
    ec.deploy()
    assert ec.wait_deployed(bad, timeout=20) is False
    with pytest.raises(WaitTimeout):
        ec.wait(bad, S.RELEASED, timeout="300ms")
    ec.release()
    assert ec.wait(bad, S.RELEASED, timeout=20)
    with pytest.raises(InvalidValue):
        ec.wait(bad, [])


def test_d5_a_hook_that_fails_does_not_hang_the_release(make: Make) -> None:
    ec = make()
    bad = ec.register_resource("dummy::ErrorApplication")
    ec.deploy()
    ec.wait_deployed(bad, timeout=20)
    ec.release()
    assert ec.state(bad) is S.RELEASED


def test_d8_a_partial_release_leaves_the_others(make: Make) -> None:
    ec = make()
    one, two = null(ec), null(ec)
    ec.deploy()
    assert ec.wait_started(timeout=20)
    ec.release(one)
    assert states(ec, [one, two]) == ["RELEASED", "STARTED"]
    assert ec.ecstate is ECState.RUNNING
    ec.shutdown()
    assert ec.state(two) is S.RELEASED


def test_d16_nothing_is_left_waiting(make: Make, stand: Stand) -> None:
    ec = make()
    bad = ec.register_resource("dummy::ErrorApplication", critical=False)
    early = null(ec)
    ec.register_condition([bad, early], STOP, early, S.STARTED, "1h")
    ec.deploy()
    assert ec.wait_started([bad, early], timeout=20)
    ec.stop(early)
    assert ec.wait_finished([bad, early], timeout=20)
    run = stand.backend().run(ec.run_id)
    steps = [run.step(f"{guid}.{action}") for guid in (bad, early) for action in ("start", "stop")]
    assert [step and step.status for step in steps] == ["void", "void", "done", "void"]


def test_a_guid_that_two_clients_chose_does_not_keep_the_run(make: Make, stand: Stand) -> None:
    ec = make("chosen-twice")
    ec.register_resource("nepiq::Null", label="first")
    ec.deploy()
    other = stand.owned(ExperimentController.attach(ec.run_id, settings=stand.settings))
    other.register_resource("nepiq::Null", guid=50, label="theirs")
    other.deploy()
    ec.register_resource("nepiq::Null", guid=50, label="ours")
    ec.release()
    assert ec.phase == "RELEASED"
