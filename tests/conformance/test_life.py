"""Cases 6 to 25: types, conditions, groups, failures, the lives of resources."""

from __future__ import annotations

import time

import pytest
from tests.conformance.conftest import Make
from tests.stand import Stand

from nepiq.controller import (
    ExperimentController,
    FailureLevel,
    NotAllowed,
    ResourceAction,
    ResourceFactory,
    ResourceState,
    UnknownAttribute,
    UnknownType,
)

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(120)]

DEPLOY, START, STOP = ResourceAction.DEPLOY, ResourceAction.START, ResourceAction.STOP
S = ResourceState


def null(ec: ExperimentController, **options: object) -> int:
    return ec.register_resource("nepiq::Null", **options)


def states(ec: ExperimentController, guids: list[int]) -> list[str]:
    return [ec.state(guid, hr=True) for guid in guids]


def span(ec: ExperimentController, one: int, two: int) -> float:
    first, second = ec.get_start_time(one), ec.get_start_time(two)
    assert first is not None
    assert second is not None
    return (second - first).total_seconds()


def test_case_6_types(ec: ExperimentController) -> None:
    node = ec.register_resource("dummy::Node")
    assert {a.name for a in ec.get_attributes(node)} == {"critical", "hardRelease"}
    app = ec.register_resource("dummy::Application")
    assert ec.get_attribute(app, "cipher").allowed == ("AES", "DES")
    assert ResourceFactory.get_resource_type("dummy::Node").rtype == "dummy::Node"
    assert "dummy::Application" in ResourceFactory.resource_types()
    assert ec.filter_resources("dummy::Node") == [node]
    assert [view.guid for view in ec.get_resources_by_type("dummy::Application")] == [app]
    view = ec.get_resource(app)
    assert view is not None
    assert (view.rtype, view.state, view.get("size")) == ("dummy::Application", S.NEW, 1)
    assert ec.get_resource(99) is None
    ec.remove_resource(app)
    assert ec.resources == [node]


def test_case_7_conditions_of_several(ec: ExperimentController) -> None:
    guids = [null(ec) for _ in range(6)]
    ec.register_condition(guids[0], START, guids[1:4], S.STARTED)
    ec.register_condition(guids[0], START, guids[4:], S.STARTED, "300ms")
    ec.deploy()
    assert ec.wait_started(guids, timeout=20)
    assert all(span(ec, other, guids[0]) >= 0 for other in guids[1:4])
    assert all(span(ec, other, guids[0]) >= 0.3 for other in guids[4:])


def test_case_8_deployed_in_order(ec: ExperimentController) -> None:
    nodes = [ec.register_resource("dummy::Node") for _ in range(2)]
    channel = ec.register_resource("dummy::Channel")
    interfaces = [ec.register_resource("dummy::Interface") for _ in nodes]
    apps = [ec.register_resource("dummy::Application") for _ in nodes]
    for app, interface, node in zip(apps, interfaces, nodes, strict=True):
        ec.register_connection(app, node)
        ec.register_connection(app, interface)
        ec.register_connection(interface, node)
        ec.register_connection(interface, channel)
    ec.deploy()
    assert ec.wait_started(apps, timeout=20)
    for app, interface, node in zip(apps, interfaces, nodes, strict=True):
        assert ec.get_provision_time(node) < ec.get_ready_time(interface)
        assert ec.get_ready_time(channel) < ec.get_ready_time(interface)
        assert ec.get_ready_time(interface) < ec.get_ready_time(app)
        assert ec.get_ready_time(node) < ec.get_ready_time(app)


def test_case_9_a_thousand_on_one_node(ec: ExperimentController) -> None:
    node = ec.register_resource("dummy::Node")
    guids = [ec.register_resource("dummy::Application", connectedTo=node) for _ in range(1000)]
    for guid in guids:
        ec.register_condition(guid, STOP, guid, S.STARTED)
    ec.deploy()
    assert ec.wait_finished(guids, timeout=60)
    assert ec.state(node) is S.STARTED
    assert {ec.state(guid) for guid in guids[::100]} == {S.STOPPED}


def test_case_10_a_critical_error(make: Make) -> None:
    ec = make()
    node, app = null(ec), ec.register_resource("dummy::ErrorApplication")
    ec.deploy()
    assert ec.wait_finished(app, timeout=20) is False
    assert ec.finished
    assert ec.abort
    ec.shutdown()
    assert ec.failure_level is FailureLevel.RM_FAILURE
    assert states(ec, [node, app]) == ["RELEASED", "RELEASED"]
    assert ec.get_failed_time(app) is not None
    assert ec.get_failed_time(node) is None


def test_case_11_an_error_that_is_not_critical(make: Make) -> None:
    ec = make()
    bad = ec.register_resource("dummy::ErrorApplication", critical=False)
    apps = [null(ec) for _ in range(10)]
    for app in apps:
        ec.register_condition(app, STOP, app, S.STARTED, "100ms")
    ec.deploy()
    assert ec.wait_finished([bad, *apps], timeout=20)
    assert states(ec, [bad, *apps]) == ["FAILED"] + ["STOPPED"] * 10
    ec.shutdown()
    assert ec.failure_level is FailureLevel.OK


def test_case_12_start_after_a_start(ec: ExperimentController) -> None:
    one, two = null(ec), null(ec)
    ec.register_condition(two, START, one, S.STARTED, "1s")
    ec.deploy()
    assert ec.wait_started([one, two], timeout=20)
    assert span(ec, one, two) >= 1.0


def test_case_13_start_after_a_stop(ec: ExperimentController) -> None:
    one, two = null(ec), null(ec)
    ec.register_condition(one, STOP, one, S.STARTED, "200ms")
    ec.register_condition(two, START, one, S.STOPPED)
    ec.deploy()
    assert ec.wait_started(two, timeout=20)
    assert ec.get_start_time(two) > ec.get_stop_time(one)


def test_case_14_stop_after_its_own_start(ec: ExperimentController) -> None:
    app = null(ec)
    ec.register_condition(app, STOP, app, S.STARTED, "1s")
    ec.deploy()
    assert ec.wait_finished(app, timeout=20)
    life = (ec.get_stop_time(app) - ec.get_start_time(app)).total_seconds()
    assert life >= 1.0


def test_case_15_deploy_after_a_provision(ec: ExperimentController) -> None:
    one, two = ec.register_resource("dummy::Node"), ec.register_resource("dummy::Node")
    ec.register_condition(two, DEPLOY, one, S.PROVISIONED)
    ec.deploy()
    assert ec.wait_deployed(timeout=20)
    assert ec.get_discover_time(two) > ec.get_provision_time(one)


def test_discover_and_provision_by_themselves(ec: ExperimentController) -> None:
    node = ec.register_resource("dummy::Node")
    app = ec.register_resource("dummy::Application", connectedTo=node)
    with pytest.raises(NotAllowed, match="not READY"):
        ec.discover(app)
    ec.discover(node)
    assert ec.state(node) is S.DISCOVERED
    ec.provision(node)
    assert ec.state(node) is S.PROVISIONED
    provisioned = ec.get_provision_time(node)
    ec.deploy()
    assert ec.wait_started(timeout=20)
    assert ec.get_provision_time(node) == provisioned
    with pytest.raises(NotAllowed):
        ec.provision(node)


def test_what_was_only_provisioned_is_released(make: Make) -> None:
    ec = make()
    node = ec.register_resource("dummy::Node")
    ec.provision(node)
    ec.shutdown()
    assert ec.state(node) is S.RELEASED


@pytest.mark.parametrize("critical", [True, False])
def test_case_16_waiting_for_one_that_failed(make: Make, critical: bool) -> None:
    ec = make()
    bad = ec.register_resource("dummy::ErrorApplication", critical=critical)
    waiter = null(ec)
    ec.register_condition(waiter, START, bad, S.STARTED)
    ec.deploy(wait_all_ready=False)
    assert ec.wait_started(waiter, timeout=20) is not critical
    if critical:
        assert ec.wait(waiter, S.FAILED, timeout=20) is False
        assert ec.abort
    else:
        assert ec.state(waiter) is S.STARTED


def test_case_17_d3_set_with_conditions(ec: ExperimentController) -> None:
    apps = [ec.register_resource("dummy::Application") for _ in range(2)]
    gate = null(ec)
    ec.register_condition(gate, START, apps, S.STARTED, "100ms")
    tasks = ec.set_with_conditions("x", "late", apps, gate, S.STARTED, "300ms")
    ec.deploy()
    assert ec.wait_started([*apps, gate], timeout=20)
    assert ec.wait(tasks, S.FINISHED, timeout=20)
    for app in apps:
        end = time.monotonic() + 20
        while ec.get(app, "x") != "late":  # it was asked for: the task does not wait for it
            assert time.monotonic() < end
        assert float(ec.get(app, "seen")) - ec.get_start_time(gate).timestamp() >= 0.299
    with pytest.raises(UnknownAttribute):
        ec.set_with_conditions("y", 1, apps, gate, S.STARTED)


def test_a_set_with_conditions_that_is_refused_leaves_nothing(ec: ExperimentController) -> None:
    app = ec.register_resource("dummy::Application")
    with pytest.raises(ValueError, match="BOGUS"):
        ec.set_with_conditions("x", "never", app, app, "BOGUS")
    ec.deploy()
    assert ec.wait_started(app, timeout=20)
    assert ec.filter_resources("nepiq::Callback") == []


def test_a_set_with_conditions_before_the_rest_is_described(ec: ExperimentController) -> None:
    app = ec.register_resource("dummy::Application")
    (task,) = ec.set_with_conditions("x", "late", app, app, S.STARTED)
    node = ec.register_resource("dummy::Node")
    ec.register_connection(app, node)
    ec.set(app, "x", "early")
    ec.deploy([node, app])
    assert ec.wait(task, S.FINISHED, timeout=20)
    assert ec.get_provision_time(node) < ec.get_ready_time(app)
    end = time.monotonic() + 20
    while ec.get(app, "x") != "late":
        assert time.monotonic() < end


def test_case_18_d15_groups(ec: ExperimentController, stand: Stand) -> None:
    slow = ec.register_resource("dummy::Channel")
    quick, joins, late = null(ec), null(ec), null(ec)
    group = ec.deploy([slow, quick])
    assert ec.deploy(joins, group=group) == group
    assert ec.wait_started([slow, quick, joins], timeout=20)
    ready = max(ec.get_ready_time(guid) for guid in (slow, quick))
    assert all(ec.get_start_time(guid) >= ready for guid in (slow, quick))
    ec.deploy(late, group=group)
    assert ec.wait_started(late, timeout=20)
    starts = [
        event.guid for event in stand.backend().run(ec.run_id).events() if event.what == "STARTED"
    ]
    assert sorted(starts) == [slow, quick, joins, late]


def test_case_19_each_as_soon_as_it_is_ready(ec: ExperimentController) -> None:
    slow, quick = ec.register_resource("dummy::Channel"), null(ec)
    # With a barrier each would wait for the other.
    ec.register_condition(slow, DEPLOY, quick, S.STARTED)
    assert ec.deploy(wait_all_ready=False) is None
    assert ec.wait_started(timeout=20)
    assert ec.get_start_time(quick) < ec.get_ready_time(slow)


def test_case_20_deploying_step_by_step(ec: ExperimentController) -> None:
    one = null(ec)
    first = ec.deploy()
    assert ec.wait_started(one, timeout=20)
    started = ec.get_start_time(one)
    two = null(ec)
    second = ec.deploy()
    assert ec.wait_started(two, timeout=20)
    assert first != second
    assert ec.get_start_time(one) == started


def test_case_21_d24_waits(ec: ExperimentController) -> None:
    guids = [null(ec) for _ in range(4)]
    given = list(guids)
    for guid in guids:
        ec.register_condition(guid, STOP, guid, S.STARTED, "50ms")
    ec.deploy(given)
    assert ec.wait_started(given, timeout=20)
    assert ec.wait_finished(given, timeout=20)
    assert given == guids
    assert ec.wait_finished(guids[0], timeout=20)
    assert ec.wait_finished([], timeout=20)
    ec.release(guids[0])
    assert ec.wait_finished(guids, timeout=20)
    assert ec.wait(guids, [S.STOPPED, S.FINISHED], timeout=20)


def test_case_22_ids(make: Make) -> None:
    one, two = make("same"), make("same")
    assert [null(one, guid=10), null(one), null(one, guid=5), null(one)] == [10, 11, 5, 12]
    assert len(one.run_id) == 20
    assert one.run_id.isdecimal()
    assert one.run_id != two.run_id
    assert one.exp_id == two.exp_id == "same"
    assert ExperimentController(quiet=True).exp_id.startswith("exp-")


def test_case_23_errors(ec: ExperimentController) -> None:
    with pytest.raises(KeyError):
        ec.register_resource("dummy::Nothing")
    with pytest.raises(UnknownType):
        ec.filter_resources("dummy::Nothing")
    app = ec.register_resource("dummy::Application")
    for wrong in (
        lambda: ec.get(app, "y"),
        lambda: ec.set(app, "y", 1),
        lambda: ec.get_attribute(app, "y"),
    ):
        with pytest.raises(KeyError):
            wrong()
    with pytest.raises(KeyError):
        ec.enable_trace(app, "nothing")
    for name, value in (("cipher", "ROT13"), ("size", 10), ("size", "many"), ("critical", "yes")):
        with pytest.raises(ValueError, match=name):
            ec.set(app, name, value)
    assert ec.get(app, "size") == 1  # an integer stays one (D20)


def test_case_25_starts_and_stops_that_are_not_possible(ec: ExperimentController) -> None:
    app = null(ec)
    ec.deploy()
    assert ec.wait_started(app, timeout=20)
    with pytest.raises(NotAllowed):
        ec.start(app)
    assert ec.state(app) is S.STARTED
    ec.stop(app)
    with pytest.raises(NotAllowed):
        ec.stop(app)
    assert ec.state(app) is S.STOPPED
    ec.start(app)
    assert ec.state(app) is S.STARTED
    ec.stop_with_conditions(app)
    assert ec.wait(app, S.STOPPED, timeout=20)
    ec.start_with_conditions(app)
    assert ec.wait(app, S.STARTED, timeout=20)


def test_d17_an_offset_after_a_state_that_was_skipped(ec: ExperimentController) -> None:
    bad = ec.register_resource("dummy::ErrorApplication", critical=False)
    waiter = null(ec)
    ec.register_condition(waiter, START, bad, S.STARTED, "200ms")
    ec.deploy()
    assert ec.wait_started(waiter, timeout=20)
    wait = (ec.get_start_time(waiter) - ec.get_failed_time(bad)).total_seconds()
    assert wait >= 0.2


def test_d20_flags_hold(ec: ExperimentController) -> None:
    app = ec.register_resource("dummy::Application")
    ec.deploy()
    assert ec.wait_started(app, timeout=20)
    with pytest.raises(NotAllowed):
        ec.set(app, "critical", False)


def test_d19_guids_of_two_clients(ec: ExperimentController, stand: Stand) -> None:
    first = null(ec)
    ec.deploy()
    with ExperimentController.attach(ec.run_id, settings=stand.settings) as other:
        mine, theirs = null(ec), null(other)
        assert len({first, mine, theirs}) == 3
        ec.deploy(mine)
        other.deploy(theirs)
        assert ec.wait_started([mine, theirs], timeout=20)
        assert other.wait_started([mine, theirs], timeout=20)
