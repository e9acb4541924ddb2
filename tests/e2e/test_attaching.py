"""nepiq attach: a run that another process began is followed, and left or released."""

from __future__ import annotations

import signal
import time

import pytest
from tests.e2e.installation import Installation
from tests.stand import until

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]


def begun(shared: Installation, command: str, **options: str) -> str:
    """A run that was left to itself."""
    script = shared.script(
        f"""
        ec = ExperimentController("left", **{options!r})
        node = ec.register_resource("linux::Node", label="here")
        app = ec.register_resource(
            "linux::Application", label="app", command={command!r}, connectedTo=node
        )
        ec.deploy()
        ec.wait_started(app)
        print(ec.detach())
        """
    )
    done = shared.python(script).ended()
    assert done.code == 0, done.err
    return done.out.strip()


def phase(shared: Installation, run: str) -> str:
    return next(str(item["phase"]) for item in shared.runs() if item["run_id"] == run)


def test_followed_and_released(shared: Installation) -> None:
    run = begun(shared, "until [ -e go ]; do sleep 0.05; done; echo done")
    following = shared.begin("attach", run, "--release", "--results", shared.folder / "kept")
    following.wrote(f"run {run}")
    told = shared.nepiq("attach", run, "--timeout", "100ms")
    assert told.code == 5
    assert f"run {run} goes on; nepiq attach {run}" in told.err
    assert "1 resource is not finished after " in told.complaint
    go = shared.folder / "go"
    go.touch()
    assert shared.nepiq("upload", run, "app", go).code == 0
    done = following.ended()
    assert done.code == 0, done.err
    for text in ("app FINISHED", "run RELEASED", f"run {run} of left: RELEASED", "begins with"):
        assert text in done.err
    assert (shared.folder / "kept" / "app" / "stdout").read_text() == "done\n"
    again = shared.nepiq("attach", run)
    assert (again.code, "of left: RELEASED" in again.err) == (0, True)


def test_a_failed_run(shared: Installation) -> None:
    run = begun(shared, "sleep 0.3; exit 3")
    done = shared.nepiq("attach", run, "--release")
    assert done.code == 1
    assert "failed: " in done.err
    assert phase(shared, run) == "RELEASED"


def test_an_interrupt_leaves_the_run_alone(shared: Installation) -> None:
    run = begun(shared, "sleep 100", release_after="3s")
    following = shared.begin("attach", run)
    following.wrote(f"run {run}\n")
    # Whoever follows is a client, for want of which the run would be released.
    until(lambda: _lasted(shared, run), 20.0, "it was released")
    following.signal(signal.SIGINT)
    done = following.ended()
    assert done.code == 130
    assert f"run {run} goes on" in done.err
    until(lambda: phase(shared, run) == "RELEASED", 20.0, "it was not released")


def _lasted(shared: Installation, run: str) -> bool:
    assert phase(shared, run) == "RUNNING"
    return time.time() - _created(run) > 6


def _created(run: str) -> float:
    from datetime import datetime, timezone

    return datetime.strptime(run, "%Y%m%d%H%M%S%f").replace(tzinfo=timezone.utc).timestamp()
