"""Workers that die, stop and come back: everything still happens once, and in order."""

from __future__ import annotations

import signal
import statistics
import time
from pathlib import Path

import pytest
from tests.faults import graph as graphs
from tests.stand import Stand, bearers, until

from nepiq.controller import ResourceState

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(300)]

SLACK = 0.05
TYPICAL = 0.25


def run_graph(stand: Stand, seed: int, limit: float) -> tuple[float, list[float]]:
    """Deploy a graph, wait for its end, check it; the seconds it took, and how late starts were."""
    with stand.experiment("graph") as ec:
        graph = graphs.describe(ec, seed, nulls=300, apps=30)
        began = time.monotonic()
        ec.deploy()
        assert ec.wait_started(graph.nulls, timeout=limit)
        assert ec.wait_finished(graph.apps, timeout=limit)
        took = time.monotonic() - began
        when = graphs.times(ec, graph, stand.backend().run(ec.run_id))
        graphs.check_order(graph, when, SLACK)
        assert all(ec.state(guid) is ResourceState.FINISHED for guid in graph.apps)
        late = graphs.lateness(graph, when)
        print(f"\nseed {seed}: {took:.2f} s, late: {graphs.summary(late)}")
        run_id = ec.run_id
    assert bearers(run_id) == []
    return took, late


def test_undisturbed(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        stand.start_worker()
        stand.start_worker()
        _, late = run_graph(stand, seed=1, limit=60.0)
        # A busy machine delays everything; polling as NEPI did would still be told apart.
        assert statistics.median(late) <= TYPICAL


@pytest.mark.parametrize("fault", ["claimed:app-%d=kill", "acted:app-%d=kill", "watching=kill"])
def test_worker_killed(tmp_path: Path, fault: str) -> None:
    with Stand(tmp_path) as stand:
        stand.start_worker()
        stand.start_worker()
        undisturbed, _ = run_graph(stand, seed=2, limit=60.0)
    with Stand(tmp_path / "faulty") as stand:
        # Every application of this worker is a chance to die; the first one claimed is taken.
        every = ",".join(fault % n if "%" in fault else fault for n in range(330))
        doomed = stand.start_worker("doomed", NEPIQ_FAULT=every)
        stand.start_worker("other", NEPIQ_FAULT="looking=2.0")  # the doomed one watches first
        took, _ = run_graph(stand, seed=2, limit=90.0)
        assert doomed.ended() == -signal.SIGKILL
        assert took <= undisturbed + 20.0


def test_redis_is_lost_while_a_step_reads_its_run(tmp_path: Path) -> None:
    """For longer than a command is retried."""
    with Stand(tmp_path) as stand:
        worker = stand.start_worker("reading", NEPIQ_FAULT="claimed:here=1")
        with stand.experiment("reading") as ec:
            node = ec.register_resource("linux::Node", label="here")
            app = ec.register_resource("linux::Application", command="sleep 3000", connectedTo=node)
            ec.deploy(wait_all_ready=False)
            run = stand.backend().run(ec.run_id)
            until(
                lambda: ("claim", node) in {(event.what, event.guid) for event in run.events()},
                30.0,
                "the step is not claimed",
            )
            stand.stop_redis()
            said = "here, deploy, attempt 1: "
            until(lambda: said in worker.log.read_text(), 60.0, "the worker does not miss Redis")
            stand.start_redis()
            assert ec.wait_started(app, "90s")
            assert not ec.failures


def test_stopped_after_claim_continued_after_release_leaves_nothing(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        sleepy = stand.start_worker("sleepy", NEPIQ_FAULT="claimed:late=stop")
        ec = stand.experiment("sleepy")
        node = ec.register_resource("linux::Node", label="node")
        late = ec.register_resource(
            "linux::Application", label="late", command="sleep 60", connectedTo=node
        )
        ec.deploy()
        until(lambda: _stopped(sleepy.process.pid), 30.0, "the worker did not stop")
        stand.start_worker("other")
        ec.release()
        assert ec.state(late) is ResourceState.RELEASED
        sleepy.signal(signal.SIGCONT)
        # It finds its lease lost and its fence raised; give it the time to do wrong.
        until(lambda: "late" in sleepy.text(), 30.0, "the worker said nothing")
        sleepy.signal(signal.SIGTERM)
        sleepy.ended(30.0)
        assert bearers(ec.run_id) == []
        ec.shutdown()


def _stopped(pid: int) -> bool:
    return "State:\tT" in Path(f"/proc/{pid}/status").read_text()


def test_exit_before_the_commit_of_the_start(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        stand.start_worker("slow", NEPIQ_FAULT="acted:quick=1.0")
        with stand.experiment("quick") as ec:
            node = ec.register_resource("linux::Node")
            quick = ec.register_resource(
                "linux::Application", label="quick", command="true", connectedTo=node
            )
            ec.deploy()
            assert ec.wait_finished(quick, timeout=30.0)
            assert ec.state(quick) is ResourceState.FINISHED


DYING_CLIENT = """
import os
from nepiq.controller import ExperimentController
from nepiq.controller.engine.store.store import RunStore
go_on, calls = RunStore.go_on, []
def dies(self):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), 9)
    return go_on(self)
RunStore.go_on = dies
ec = ExperimentController("dying")
for number in range(40):
    ec.register_resource("nepiq::Null")
print(ec.run_id, flush=True)
ec.deploy()
"""


def test_client_killed_between_two_chunks_of_a_deploy(tmp_path: Path) -> None:
    with Stand(tmp_path, NEPIQ_CHUNK="3") as stand:
        stand.pretend_worker()
        script = stand.script(DYING_CLIENT)
        said = script.communicate(timeout=30.0)
        assert script.returncode == -signal.SIGKILL, said
        stand.start_worker()
        with stand.experiment_of("dying") as ec:
            assert ec.wait_started(timeout=30.0)
            states = {ec.state(guid) for guid in ec.resources}
            assert states == {ResourceState.STARTED}
            ec.release()
