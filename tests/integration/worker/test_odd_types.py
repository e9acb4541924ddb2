"""Types of third parties that raise where nobody expects it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.worker import kinds  # noqa: F401 - the types must be known here too
from tests.stand import Stand, until

from nepiq.controller.monitoring.overdue import overdue
from nepiq.controller.resources.linux.application import Application

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(60)]


@pytest.mark.parametrize("rtype", ["test::Vague", "test::VagueBatch"])
def test_a_step_that_has_no_deadline_fails_at_once(stand: Stand, rtype: str) -> None:
    worker = stand.start_worker()
    ec = stand.experiment("vague")
    vague = ec.register_resource(rtype, critical=False)
    others = [ec.register_resource("nepiq::Null") for _ in range(3)]
    ec.deploy(wait_all_ready=False)
    assert ec.wait_started(others, "20s")
    ec.wait_started(vague, "20s")
    assert "no idea of" in str(ec.failures[0])
    assert "ValueError" in worker.text()
    store = stand.backend().run(ec.run_id).store
    step = store.step(f"{vague}.deploy")
    assert step is not None
    assert step.tries == 1
    ec.detach()


class Unknown(Application, rtype="test::UnknownToWorkers"):
    """A type that the worker cannot import."""


def test_a_type_that_the_worker_lacks_fails_beside_others(stand: Stand) -> None:
    stand.start_worker()
    ec = stand.experiment("lacking")
    node = ec.register_resource("linux::Node")
    usual = {"connectedTo": node, "command": "true"}
    lacking = [
        ec.register_resource("test::UnknownToWorkers", critical=False, **usual) for _ in range(6)
    ]
    others = [ec.register_resource("linux::Application", **usual) for _ in range(6)]
    ec.deploy()
    assert ec.wait_finished([*lacking, *others], timeout=10)
    assert {failure.guid for failure in ec.failures} == set(lacking)
    assert "cannot import the class" in str(ec.failures[0])
    ec.shutdown()


def test_what_is_late_can_be_told_without_its_deadline(stand: Stand) -> None:
    worker = stand.start_worker()
    ec = stand.experiment("deaf")
    ec.register_resource("test::VagueAndDeaf")
    ec.deploy(wait_all_ready=False)
    until(lambda: "deaf to all" in worker.text(), 20.0, "it does not begin")
    run = stand.backend().run(ec.run_id)
    assert "step" in {item.about for item in overdue(run, slack=-600.0)}
    ec.detach()
    worker.process.kill()


def test_what_a_release_learns_of_the_states_before(stand: Stand, tmp_path: Path) -> None:
    """A failure that counts as every state, since it is not critical, is none of them."""
    stand.start_worker()
    ec = stand.experiment("reached")
    files = [tmp_path / name for name in ("fails", "starts", "never")]
    for file in files:
        guid = ec.register_resource(
            "test::Reacher", file=str(file), fails=file.name == "fails", critical=False
        )
        if file.name == "never":
            null = ec.register_resource("nepiq::Null")
            ec.register_condition(guid, "START", null, "STARTED", "1h")
    ec.deploy(wait_all_ready=False)
    assert ec.wait_started(1, "20s")
    assert ec.wait_started(2, "20s")
    assert ec.wait_deployed(3, "20s")
    ec.release()
    said = [file.read_text() for file in files]
    assert said == ["[False, False]", "[True, True]", "[True, False]"]
    ec.shutdown()
