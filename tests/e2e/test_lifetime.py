"""How applications and resources without a process live and end, on real workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.lab import Lab, app, node, null, reached_at
from tests.processes import alive
from tests.stand import bearers

from nepiq.controller import ExperimentController

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]
PATIENCE = 30


def events(ec: ExperimentController, guid: int) -> list[str]:
    run = ec._replica.required(guid).run
    return [event.what for event in run.events() if event.guid == guid]


def test_a_start_that_failed_does_not_undo_what_another_did(lab: Lab, tmp_path: Path) -> None:
    """Two runs make the same directory; the second fails, and must not remove it."""
    shared = tmp_path / "lab"

    def run(**attributes: object) -> tuple[ExperimentController, int]:
        ec = lab.experiment()
        node(ec)
        undone = f"echo \"<$NEPIQ_STARTED>\" >>'{tmp_path}/undone'; rmdir '{shared}'"
        made = app(ec, "maker", f"mkdir '{shared}'", tearDown=undone, critical=False, **attributes)
        ec.deploy()
        assert ec.wait_finished(made, timeout=PATIENCE)
        return ec, made

    first, _ = run()
    second, failed = run()
    assert str(second.state(failed)) == "FAILED"
    second.release()
    assert shared.is_dir()
    assert not (tmp_path / "undone").exists()
    first.release()
    assert not shared.exists()
    shared.mkdir()
    always, _ = run(tearDownAlways=True)
    always.release()
    assert not shared.exists()
    assert (tmp_path / "undone").read_text() == "<1>\n<>\n"


def test_timeouts_and_restarts(lab: Lab) -> None:
    ec = lab.experiment()
    node(ec)
    late = app(ec, "late", "echo x >&2; sleep 300", timeout="500ms", critical=False)
    count = "n=$(($(cat n 2>/dev/null || echo 0) + 1)); echo $n >n; "
    how = {"restart": "on-failure", "restartDelay": "20ms", "critical": False}
    lucky = app(ec, "lucky", count + "test $n -ge 3", **how)
    unlucky = app(ec, "unlucky", "exit 7", restartLimit=2, **how)
    steady = app(ec, "steady", count + "test $n -ge 2 && exec sleep 300; exit 1", **how)
    ec.deploy()
    assert ec.wait_finished([late, lucky, unlucky], timeout=PATIENCE)
    states = [str(ec.state(guid)) for guid in (late, lucky, unlucky)]
    assert states == ["FAILED", "FINISHED", "FAILED"]
    assert "its timeout has passed" in str(ec.failures)
    assert [ec.get(guid, "restarts") for guid in (lucky, unlucky)] == [2, 2]
    assert ec.get(unlucky, "exitCode") == 7
    assert events(ec, lucky).count("restart") == 2
    assert events(ec, lucky).count("STARTED") == 1
    exits = [line.split()[:2] for line in ec.trace(unlucky, ".restarts").splitlines()]
    assert exits == [["1", "7"], ["2", "7"]]
    # It has been restarted, and goes on until it is stopped.
    ec.stop(steady)
    assert str(ec.state(steady)) == "STOPPED"
    assert ec.get(steady, "restarts") == 1


def test_what_has_ended_is_released_with_its_host(lab: Lab) -> None:
    ec = lab.experiment()
    node(ec)
    daemon = "setsid sleep 300 & echo $!"
    quick = app(ec, "quick", "true")
    leaving = app(ec, "leaving", daemon)
    tampering = ec.register_resource(
        "linux::Application",
        command=f'{daemon}; cd ../..; rm -rf journal fence "$OLDPWD"',
        connectedTo=ec.register_resource("linux::Node", label="there"),
    )
    alone = app(ec, "alone", daemon)
    undoing = app(ec, "undoing", daemon, tearDown="test ! -e /proc/$(cat stdout)/cwd")
    apps = [quick, leaving, tampering, alone, undoing]
    ec.deploy()
    assert ec.wait_finished(apps, timeout=PATIENCE)
    left = {guid: int(ec.trace(guid, "stdout")) for guid in (leaving, alone, undoing)}
    assert all(map(alive, left.values()))
    ec.release(alone)
    assert [alive(pid) for pid in left.values()] == [True, False, True]
    assert bearers(f"{ec.run_id}.{tampering}.")
    ec.release()
    assert ec.failures == []
    assert bearers(f"{ec.run_id}.") == []
    assert not any(map(alive, left.values()))
    claims = {guid: events(ec, guid).count("claim") for guid in apps}
    # The others have acted on the host only to start.
    assert claims == {quick: 1, leaving: 1, tampering: 1, alone: 2, undoing: 2}


def test_resources_that_end_by_themselves(lab: Lab) -> None:
    ec = lab.experiment()
    first = null(ec, "first", ends=True)
    brief = ec.register_resource("nepiq::Sleep", label="brief", duration="300ms")
    long = ec.register_resource("nepiq::Sleep", label="long", duration="1h")
    after = null(ec, "after", ends=True)
    ec.register_condition(brief, "START", first, "FINISHED", "100ms")
    ec.register_condition(after, "START", brief, "FINISHED", "200ms")
    ec.deploy()
    assert ec.wait_finished([first, brief, after], timeout=PATIENCE)
    assert [str(ec.state(guid)) for guid in (first, brief, after)] == ["FINISHED"] * 3
    # Exact, however long it took to notice.
    start, end = reached_at(ec, brief, "STARTED"), reached_at(ec, brief, "FINISHED")
    assert abs(end - start - 0.3) < 1e-3
    assert start - reached_at(ec, first, "FINISHED") >= 0.1
    assert reached_at(ec, after, "STARTED") - end >= 0.2
    ec.stop(long)
    assert str(ec.state(long)) == "STOPPED"
    ec.start(long)
    assert str(ec.state(long)) == "STARTED"
    ec.release()


def test_a_run_of_null_alone_ends(lab: Lab) -> None:
    ec = lab.experiment()
    null(ec, "one", ends=True)
    ec.register_resource("nepiq::Sleep", duration="50ms")
    ec.deploy()
    assert ec.wait_finished(timeout=PATIENCE)
