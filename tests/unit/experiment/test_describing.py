"""An experiment is described, and its errors are found, without any Redis."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nepiq.controller import (
    ConditionCycle,
    ECState,
    ExperimentController,
    InvalidValue,
    NotAllowed,
    ResourceAction,
    ResourceState,
    Settings,
    TraceAttr,
    UnknownAttribute,
    UnknownResource,
    UnknownType,
)

START, STOP = ResourceAction.START, ResourceAction.STOP
STARTED, FINISHED = ResourceState.STARTED, ResourceState.FINISHED
NOWHERE = Settings(broker_url="redis://127.0.0.1:1/0", state_url="redis://127.0.0.1:1/0")


@pytest.fixture
def ec() -> ExperimentController:
    return ExperimentController("test", settings=NOWHERE)


def null(ec: ExperimentController, label: str) -> int:
    return ec.register_resource("nepiq::Null", label=label)


def test_names_of_the_package_are_those_of_nepi() -> None:
    from nepiq import controller

    for name in ("ResourceManager", "ECState", "Attribute", "Flag", "Trace", "Later", "Retry"):
        assert name in dir(controller)
        assert getattr(controller, name) is not None
    with pytest.raises(AttributeError):
        controller.NoSuchName  # noqa: B018


def test_an_experiment_has_a_name_of_its_own() -> None:
    first, second = ExperimentController(settings=NOWHERE), ExperimentController(settings=NOWHERE)
    assert first.exp_id.startswith("exp-")
    assert len(first.exp_id) == 4 + 16
    assert first.exp_id != second.exp_id


def test_a_bad_name_is_refused() -> None:
    with pytest.raises(InvalidValue):
        ExperimentController("../etc")


def test_guids_are_counted_as_in_nepi(ec: ExperimentController) -> None:
    guids = [ec.register_resource("nepiq::Null", guid=guid) for guid in (10, None, 5, None)]
    assert guids == [10, 11, 5, 12]
    assert ec.resources == guids


def test_labels_stand_for_guids(ec: ExperimentController) -> None:
    one, two = null(ec, "one"), null(ec, "two")
    ec.register_condition("two", START, "one", STARTED, "2s")
    assert ec.find("two") == two == ec.find(two)
    assert ec.state("one") is ResourceState.NEW
    assert ec.state(one, hr=True) == "NEW"


def test_unknown_names_come_with_near_misses(ec: ExperimentController) -> None:
    with pytest.raises(UnknownType, match="linux::Application"):
        ec.register_resource("linux::Aplication")
    with pytest.raises(UnknownAttribute, match="command"):
        ec.register_resource("linux::Application", comand="true")
    null(ec, "server")
    with pytest.raises(UnknownResource, match="server"):
        ec.find("sever")
    assert len(ec.resources) == 1


def test_a_wrong_value_registers_nothing(ec: ExperimentController) -> None:
    with pytest.raises(InvalidValue, match="startedWhen"):
        ec.register_resource("linux::Application", startedWhen="prot:80")
    with pytest.raises(UnknownResource):
        ec.register_resource("nepiq::Null", connectedTo="nobody")
    assert ec.resources == []


def test_a_failed_connection_registers_nothing(ec: ExperimentController) -> None:
    null(ec, "other")
    with pytest.raises(NotAllowed):
        ec.register_resource("nepiq::Null", connectedTo="other")
    assert len(ec.resources) == 1


def test_connected_to_takes_one_or_several(ec: ExperimentController) -> None:
    node = ec.register_resource("linux::Node", label="n")
    one = ec.register_resource("linux::Application", connectedTo="n", command="true")
    listed = ec.register_resource("linux::Application", connectedTo=["n"], command="true")
    later = ec.register_resource("linux::Application")
    ec.register_connection("n", later)
    for app in (one, listed, later):
        assert ec.connections(app) == [node]
    assert ec.connections(node) == [one, listed, later]


def test_attributes_are_read_and_set(ec: ExperimentController) -> None:
    app = ec.register_resource("linux::Application", command="true")
    ec.set(app, "command", "false")
    assert ec.get(app, "command") == "false"
    with pytest.raises(NotAllowed, match="exitCode"):
        ec.set(app, "exitCode", 3)
    with pytest.raises(UnknownAttribute):
        ec.get(app, "nothing")


def test_globals_hold_for_what_is_registered_later(ec: ExperimentController) -> None:
    before = ec.register_resource("linux::Application")
    ec.set_global("linux::Application", "okExitCodes", "any")
    after = ec.register_resource("linux::Application")
    assert ec.get(before, "okExitCodes") == 0
    assert ec.get(after, "okExitCodes") == "any"
    assert ec.get_global("linux::Application", "okExitCodes") == "any"


def test_a_cycle_is_named_before_anything_is_connected(ec: ExperimentController) -> None:
    null(ec, "a"), null(ec, "b")
    ec.register_condition("a", START, "b", STARTED)
    ec.register_condition("b", START, "a", STARTED)
    with pytest.raises(ConditionCycle) as raised:
        ec.deploy()
    assert "a.start waits for b STARTED" in str(raised.value)
    assert "b.start waits for a STARTED" in str(raised.value)


def test_what_is_missing_is_said_before_anything_is_connected(ec: ExperimentController) -> None:
    ec.register_resource("linux::Application", label="app", command="true")
    with pytest.raises(InvalidValue, match=r"'node' of app"):
        ec.deploy()


def test_a_bad_condition_is_refused_at_once(ec: ExperimentController) -> None:
    null(ec, "a")
    with pytest.raises(InvalidValue, match="duration"):
        ec.register_condition("a", START, "a", STARTED, "soon")
    with pytest.raises(InvalidValue):
        ec.register_condition("a", "begin", "a", STARTED)
    with pytest.raises(InvalidValue):
        ec.register_condition("a", START, "a", "RUNNING")
    with pytest.raises(UnknownResource):
        ec.register_condition("a", START, "z", STARTED)


def test_nothing_deployed_is_nothing_to_wait_for_or_release(ec: ExperimentController) -> None:
    guid = null(ec, "a")
    assert ec.wait_finished([])
    assert ec.wait_started()
    assert ec.wait_released()
    assert ec.deploy([]) is None
    with pytest.raises(NotAllowed, match="not deployed"):
        ec.wait_started(guid)
    with pytest.raises(NotAllowed, match="not deployed"):
        ec.start(guid)
    with pytest.raises(NotAllowed, match="not deployed"):
        ec.trace(guid, "stdout")
    assert not ec.reached(guid, "READY")
    assert ec.reached(guid, "NEW")
    assert ec.failures == []
    assert ec.ecstate is ECState.RUNNING
    ec.release()
    assert ec.ecstate is ECState.RELEASED
    ec.shutdown()
    ec.shutdown()
    assert ec.ecstate is ECState.TERMINATED


def test_the_callers_lists_are_left_alone(ec: ExperimentController) -> None:
    guids = [null(ec, "b"), null(ec, "a")]
    before = list(guids)
    ec.register_condition(guids, STOP, guids, STARTED)
    with pytest.raises(NotAllowed):
        ec.wait_finished(guids)
    assert guids == before


def test_leaving_an_undeployed_experiment_does_nothing() -> None:
    with ExperimentController("test", settings=NOWHERE) as ec:
        null(ec, "a")
    assert ec.ecstate is ECState.RUNNING


def test_states_have_nepis_numbers() -> None:
    assert [state.value for state in ECState] == [1, 2, 3, 4]
    assert TraceAttr("all") is TraceAttr.ALL


def _loaded(code: str, *modules: str) -> str:
    """Return which of the modules a fresh interpreter has loaded after it ran the code."""
    code = f"import sys; {code}; print([m for m in {modules} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ},
        check=True,
    )
    return done.stdout.strip()


def test_the_import_costs_little() -> None:
    """Nothing of Redis, Celery or SSH is loaded for a description."""
    code = "from nepiq.controller import ExperimentController as E; e = E('x');"
    code += "e.register_resource('nepiq::Null')"
    modules = ("redis", "celery", "kombu", "paramiko", "rich", "typer", "asyncio")
    assert _loaded(code, *modules, "pydantic", "yaml") == "[]"


def test_a_command_loads_no_library_of_another() -> None:
    """The form of descriptions and campaigns took a third of a short command."""
    modules = ("celery", "kombu", "paramiko", "pydantic", "yaml", "networkx")
    campaigns = "nepiq.controller.campaign.campaign"
    code = "from nepiq.controller.cli.app import make_app; make_app()"
    assert _loaded(code, *modules, campaigns) == "[]"
    code = "from nepiq.controller.cli.app import make_app; make_app('version')"
    assert _loaded(code, "nepiq.controller.cli.run", "nepiq.controller.cli.top") == "[]"
