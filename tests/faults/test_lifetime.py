"""Time limits and restarts of applications while script and workers are killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stand import Stand, bearers, until

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(300)]

SCRIPT = """
from nepiq.controller import ExperimentController
ec = ExperimentController("life", quiet=True)
node = ec.register_resource("linux::Node")
def app(label, command, **how):
    return ec.register_resource("linux::Application", label=label, command=command,
                                connectedTo=node, critical=False, **how)
apps = [
    app("late", "exec sleep 3001", timeout="6s"),
    app("paused", "exit 1", restart="always", restartDelay="1h"),
    app("looping", "sleep 0.02; exit 1", restart="always", restartLimit=0, restartDelay="20ms"),
    app("interrupted", "trap '' TERM; exec sleep 3002", stopSignal="INT", restart="always"),
]
ec.deploy()
assert ec.wait_started(apps)
print(ec.run_id, flush=True)
ec.wait_finished(apps)
"""


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with Stand(tmp_path) as made:
        made.start_worker()
        yield made


@pytest.mark.parametrize("dies", ["script", "worker", "both", "ctrl-C"])
def test_who_dies(stand: Stand, dies: str) -> None:
    """The host ends what is over and restarts what has ended; the release leaves nothing."""
    with stand.script(SCRIPT) as script:
        assert script.stdout is not None
        run_id = script.stdout.readline().strip()
        assert run_id, script.communicate()
        if dies in {"worker", "both"}:
            stand.workers[0].signal(signal.SIGKILL)
        if dies == "ctrl-C":
            script.send_signal(signal.SIGINT)
            assert script.wait(60) == -signal.SIGINT, script.communicate()
            until(lambda: not bearers(f"{run_id}."), 10.0, "something is left")
            return
        if dies in {"script", "both"}:
            script.send_signal(signal.SIGKILL)
            script.wait(10)
        else:
            script.send_signal(signal.SIGSTOP)
        ec = stand.experiment_of(run_id)
        late = ec.find("late")
        # Whoever lives or not: the host counts the time itself.
        until(lambda: not bearers(f"{run_id}.{late}.1"), 30.0, "the timeout did not come")
        assert bearers(f"{run_id}.{ec.find('interrupted')}.1")
        if dies in {"worker", "both"}:
            stand.start_worker()
        assert ec.wait_finished(late, timeout=60)
        assert "its timeout has passed" in str(ec.failures)
        looping = ec.find("looping")
        seen = ec.get(looping, "restarts")
        until(lambda: ec.get(looping, "restarts") > seen, 30.0, "no restart was told")
        assert ec.get("paused", "restarts") == 1
        assert str(ec.state("paused")) == "STARTED"
        ec.release()
        assert ec.get("interrupted", "exitCode") == 130  # by its own signal, not by KILL
        assert ec.failures == [] or all(not item.released for item in ec.failures)
        until(lambda: not bearers(f"{run_id}."), 10.0, "something is left")
        script.send_signal(signal.SIGKILL)
        ec.close()


def test_a_pause_ends_though_its_workers_were_killed(stand: Stand) -> None:
    """The engine counts the time; the end is exact, whenever a worker comes to tell it."""
    ec = stand.experiment("pause", quiet=True)
    pause = ec.register_resource("nepiq::Sleep", duration="1s")
    after = ec.register_resource("nepiq::Null", ends=True)
    ec.register_condition(after, "START", pause, "FINISHED", "250ms")
    ec.deploy()
    assert ec.wait_started(pause, timeout=30)
    stand.workers[0].signal(signal.SIGKILL)
    stand.workers[0].ended()
    time.sleep(1.5)  # the pause is over, and nobody there
    stand.start_worker()
    assert ec.wait_finished([pause, after], timeout=60)
    begun, ended = (stand.milestone(ec, pause, state) for state in ("STARTED", "FINISHED"))
    assert abs(ended - begun - 1.0) < 1e-3
    assert stand.milestone(ec, after, "STARTED") - ended >= 0.25
    ec.shutdown()
