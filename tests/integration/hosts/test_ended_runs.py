"""Directories of released runs are removed by one command, and no others."""

from __future__ import annotations

import pytest
from tests.integration.hosts.rig import Rig

from nepiq.controller.model.durations import Deadline
from nepiq.workers.hosts import ended_runs
from nepiq.workers.hosts.paths import Layout

pytestmark = [pytest.mark.needs("flock", "setsid"), pytest.mark.timeout(60)]


def removed(rig: Rig, *nodes: int) -> list[int]:
    layouts = [Layout(rig.run_id, node, rig.session.home) for node in nodes]
    gone = ended_runs.remove(rig.session, layouts, Deadline.after(20.0))
    return sorted(layout.node for layout in gone)


def test_those_that_are_released_go(rig: Rig) -> None:
    for node in (2, 3):
        rig.prepare(node)
    rig.host(5).supervise("echo there >file; exec sleep 60")
    assert removed(rig, 1, 2, 3) == []
    for node in (1, 2):
        rig.host(node, node=node).dismantle()
    assert rig.run_dir(5).joinpath("file").exists()
    assert removed(rig, 1, 2, 3) == [1, 2]
    assert [rig.root(node).exists() for node in (1, 2, 3)] == [False, False, True]
    assert removed(rig, 1, 2) == []  # their marks are empty again
    rig.host(3, node=3).dismantle()
    assert removed(rig, 3) == [3]
    assert not rig.root().parent.exists()


def test_a_run_that_has_ended_by_other_means_stays(rig: Rig) -> None:
    """A mark says that nothing may begin; what was begun may live."""
    rig.host(5).supervise("exec sleep 60")
    mark = rig.home / ".nepiq/ended" / f"{rig.run_id}-1"
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    assert removed(rig, 1) == []
    assert rig.run_dir(5).exists()


def test_a_home_without_nepiq(rig: Rig) -> None:
    layout = Layout("20260101000000000000", 1, "/nonexistent")
    assert ended_runs.remove(rig.session, [layout], Deadline.after(20.0)) == []
    assert ended_runs.remove(rig.session, [], Deadline.after(20.0)) == []
