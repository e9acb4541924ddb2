"""nepiq attach: a run that another process began is followed, and left or released."""

from __future__ import annotations

import json
import signal
from typing import cast

import pytest
from redis.client import Pipeline
from tests.e2e.installation import Installation
from tests.stand import until

from nepiq.controller.engine import Backend
from nepiq.controller.engine.store import RunStore

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


def seen(store: RunStore) -> float:
    """When the run had a client most recently."""
    meta = store.meta()
    assert meta is not None
    return meta.seen


def pass_ten_minutes(store: RunStore) -> None:
    """Have the client have been there ten minutes earlier."""
    key = store.keys.of("meta")

    def change(pipe: Pipeline) -> None:
        meta = json.loads(cast("bytes", pipe.get(key)))
        meta["seen"] = f"{float(meta['seen']) - 601:.6f}"
        pipe.multi()
        pipe.set(key, json.dumps(meta))

    store.redis.transaction(change, key)


def test_followed_and_released(shared: Installation) -> None:
    run = begun(shared, "until [ -e go ]; do sleep 0.05; done; echo done")
    following = shared.begin("attach", run, "--release", "--results", shared.folder / "kept")
    following.wrote(f"run {run}")
    told = shared.nepiq("attach", run, "--timeout", "100ms")
    assert told.code == 5
    assert f"run {run} continues; see nepiq attach {run}" in told.err
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
    run = begun(shared, "sleep 100", release_after="10m")
    backend = Backend(shared.settings())
    store = backend.run(run).store
    left = seen(store)
    following = shared.begin("attach", run)
    following.wrote(f"run {run}\n")
    # Whoever follows is a client, for want of which the run would be released.
    until(lambda: seen(store) > left, 20.0, "it is not seen")
    following.signal(signal.SIGINT)
    done = following.ended()
    assert done.code == 130
    assert f"run {run} continues" in done.err
    assert phase(shared, run) == "RUNNING"
    pass_ten_minutes(store)
    until(lambda: phase(shared, run) == "RELEASED", 20.0, "it was not released")
    backend.close()


def test_what_does_not_end_by_itself_is_not_waited_for(shared: Installation) -> None:
    script = shared.script(
        """
        ec = ExperimentController("watching")
        node = ec.register_resource("linux::Node", label="here")
        ec.register_resource("linux::HttpServer", label="server", connectedTo=node)
        ec.deploy()
        ec.wait_started()
        print(ec.detach())
        """
    )
    done = shared.python(script).ended()
    assert done.code == 0, done.err
    attached = shared.nepiq("attach", done.out.strip(), "--release", "--timeout", "60s")
    assert attached.code == 0, attached.err
    assert phase(shared, done.out.strip()) == "RELEASED"
