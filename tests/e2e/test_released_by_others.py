"""A wait for something tells its end from a release by another client."""

from __future__ import annotations

import threading

import pytest
from tests.e2e.installation import Installation
from tests.e2e.lab import Lab, null
from tests.stand import until

from nepiq.controller import ExperimentController, ExperimentReleased, ResourceAction, ResourceState

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

PATIENCE = 60
STARTED, STOPPED = ResourceState.STARTED, ResourceState.STOPPED


def sleeper(ec: ExperimentController, command: str = "sleep 3000", label: str = "app") -> int:
    node = ec.register_resource("linux::Node")
    return ec.register_resource(
        "linux::Application", label=label, command=command, connectedTo=node
    )


@pytest.mark.parametrize("partly", [False, True], ids=["all", "one"])
def test_a_wait_that_goes_on(lab: Lab, partly: bool) -> None:
    ec = lab.experiment()
    app = sleeper(ec)
    ec.deploy()
    assert ec.wait_started(app, timeout=PATIENCE)
    other = lab.attach(ec.run_id)
    release = threading.Thread(target=other.release, args=([app],) if partly else ())
    release.start()
    with pytest.raises(ExperimentReleased) as caught:
        ec.wait_finished(app, timeout=PATIENCE)
    release.join()
    assert "app was released at " in caught.value.message
    assert "by another client before being finished" in caught.value.message
    assert caught.value.exit_code == 6
    # What came before the release did come.
    assert ec.wait_started(app, timeout=PATIENCE)
    assert ec.wait_released(app, timeout=PATIENCE)


def test_what_had_ended_has_ended(lab: Lab) -> None:
    ec = lab.experiment()
    done = sleeper(ec, "true", "done")
    stopped, asked = null(ec, "stopped"), null(ec, "asked")
    ec.register_condition(stopped, ResourceAction.STOP, stopped, STARTED)
    ec.deploy()
    assert ec.wait_finished([done, stopped], timeout=PATIENCE)
    assert ec.wait_started(asked, timeout=PATIENCE)
    ec.stop(asked)
    lab.attach(ec.run_id).release()
    assert ec.wait_finished([done, stopped, asked], timeout=PATIENCE)


def test_what_this_client_released_itself(lab: Lab) -> None:
    ec = lab.experiment()
    app, one = sleeper(ec), null(ec, "one")
    ec.deploy()
    assert ec.wait_started([app, one], timeout=PATIENCE)
    ec.release(app)
    assert ec.wait_finished(app, timeout=PATIENCE)
    ec.release()
    assert ec.wait_finished([app, one], timeout=PATIENCE)


@pytest.mark.parametrize("command", ["run", "attach"])
def test_the_exit_code_says_so(shared: Installation, command: str) -> None:
    name = f"released-{command}"
    script = shared.script(
        f"""
        ec = ExperimentController("{name}")
        node = ec.register_resource("linux::Node")
        app = ec.register_resource(
            "linux::Application", label="app", command="sleep 3000", connectedTo=node
        )
        ec.deploy()
        ec.wait_started(app)
        if "{command}" == "attach":
            ec.detach()
        else:
            print("waits", flush=True)
            ec.wait_finished(app)
        """,
        f"{name}.py",
    )
    if command == "run":
        process = shared.begin("run", script)
        process.wrote("waits")
    else:
        assert shared.python(script).ended().code == 0
        process = shared.begin("attach", name)
        process.wrote("STARTED")
    assert shared.nepiq("release", name).code == 0
    done = process.ended()
    assert done.code == 6, done.err
    assert "app was released at" in done.complaint
    until(lambda: shared.runs()[0]["phase"] == "RELEASED", 10.0, "it is not released")
