"""Other clients of a run, and runs that have none."""

from __future__ import annotations

import pytest
from tests.e2e.installation import Installation
from tests.e2e.lab import Lab, null
from tests.stand import bearers, until

from nepiq.controller import (
    ExperimentController,
    ResourceAction,
    ResourceManager,
    ResourceState,
    UnknownResource,
)
from nepiq.controller.model import registry

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

DEPLOY, START, STOP = ResourceAction.DEPLOY, ResourceAction.START, ResourceAction.STOP
READY, STARTED = ResourceState.READY, ResourceState.STARTED
FINISHED, STOPPED = ResourceState.FINISHED, ResourceState.STOPPED
FAILED, RELEASED = ResourceState.FAILED, ResourceState.RELEASED
PATIENCE = 30


def test_another_client_has_the_same_experiment(lab: Lab) -> None:
    ec = lab.experiment("attached")
    one = null(ec, "one")
    ec.deploy()
    other = lab.attach(ec.run_id)
    assert (other.exp_id, other.run_id) == ("attached", ec.run_id)
    assert other.resources == [one]
    assert other.wait_started("one", timeout=PATIENCE)
    two, mine = null(other, "two"), null(ec, "mine")
    assert len({one, two, mine}) == 3
    other.register_condition("two", START, "one", STARTED, "100ms")
    other.deploy("two")
    assert ec.find("two") == two
    assert ec.wait_started("two", timeout=PATIENCE)
    with pytest.raises(UnknownResource):
        ec.find("three")
    with other:
        pass
    assert ec.state("two") is STARTED
    assert other.detach() == ec.run_id


def test_runs_are_found_again_by_name(lab: Lab) -> None:
    ec = lab.experiment("findable")
    null(ec, "one")
    ec.deploy()
    infos = ExperimentController.runs(settings=lab.settings)
    assert infos[0].run_id == ec.run_id
    for name in ("findable", "last", ec.run_id[-8:]):
        assert lab.attach(name).run_id == ec.run_id


def test_a_type_that_this_process_does_not_have(lab: Lab) -> None:
    class Foreign(ResourceManager, rtype="elsewhere::Foreign"):
        pass

    ec = lab.experiment()
    one = ec.register_resource("elsewhere::Foreign", label="one")
    two = null(ec, "two")
    ec.register_condition(two, START, one, STARTED)
    ec.deploy()
    assert not ec.wait_started(timeout=PATIENCE)
    registry.forget("elsewhere::Foreign")
    other = lab.attach(ec.run_id)
    assert other.find("one") == one
    assert other.state("one") is FAILED
    assert "elsewhere::Foreign" in other.failures[0].message


def test_a_run_without_a_client_is_released(installation: Installation) -> None:
    script = installation.script(
        """
        import os, signal
        ec = ExperimentController("lonely", release_after="1s")
        node = ec.register_resource("linux::Node")
        ec.register_resource("linux::Application", command="sleep 60", connectedTo=node)
        ec.deploy()
        ec.wait_started()
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    installation.python(script).ended()
    settings = installation.settings()

    def released() -> bool:
        (info,) = [i for i in ExperimentController.runs(settings=settings) if i.exp_id == "lonely"]
        return info.phase == "RELEASED" and not bearers(info.run_id)

    # To attach would be to be a client.
    until(released, PATIENCE, "the run was not released")


def test_a_client_that_does_nothing_keeps_its_run(lab: Lab) -> None:
    ec = lab.experiment(release_after="6s")
    one = null(ec, "one")
    ec.deploy()
    assert ec.wait_started(timeout=PATIENCE)
    link = ec._replica.link
    assert link is not None
    seen: set[object] = set()

    def tells() -> bool:
        meta = link.run.store.meta()
        seen.add(meta and meta.seen)
        return len(seen) > 3

    until(tells, PATIENCE, "nobody says that there is a client")
    assert ec.state(one) is STARTED
