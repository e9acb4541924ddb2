"""Figures, which a worker reads when a process has ended."""

from __future__ import annotations

import pytest
from tests.integration.worker import kinds  # noqa: F401 - the types must be known here too
from tests.stand import Stand

from nepiq.controller import ResourceAction, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.timeout(90),
]

# More than travels with an exit, and more than a figure may read.
LARGE = "seq 300000"


def test_figures_of_processes(stand: Stand) -> None:
    worker = stand.start_worker()
    with stand.experiment("figures", quiet=True) as ec:
        node = ec.register_resource("linux::Node")
        commands = {
            "small": "echo 7",
            "large": LARGE,
            "failed": "echo 8; exit 3",
            "none": "true",
            "stopped": f"{LARGE}; exec sleep 1000",
            "at-once": f"{LARGE}; echo ready >done",
        }
        for label, command in commands.items():
            ec.register_resource(
                "test::Counter", label=label, command=command, connectedTo=node, critical=False
            )
        ec.set("stopped", "startedWhen", "output:^300000$")
        ec.set("at-once", "startedWhen", "file:never")
        moods = ("raise", "unknown", "text")
        for mood in moods:
            ec.register_resource(
                "test::Counter", label=mood, mood=mood, command="echo 1", connectedTo=node
            )
        ec.register_condition("stopped", ResourceAction.STOP, "stopped", ResourceState.STARTED)
        ec.deploy()
        assert ec.wait_finished([*commands, *moods], timeout=60), ec.failures
        assert {label: ec.get(label, "last") for label in commands} == {
            "small": 7,
            "large": 300_000,
            "failed": 8,
            "none": None,
            "stopped": 300_000,
            "at-once": 300_000,
        }
        assert ec.get("small", "other") is None
        assert ec.state("stopped") is ResourceState.STOPPED
        assert ec.get("failed", "exitCode") == 3
        for mood in moods:
            assert (ec.state(mood), ec.get(mood, "last")) == (ResourceState.FINISHED, None)
            assert ec.get(mood, "exitCode") == 0
            assert f"the figures of {mood} cannot be read" in worker.text()


def test_a_second_start_has_figures_of_its_own(stand: Stand) -> None:
    stand.start_worker()
    with stand.experiment("again", quiet=True) as ec:
        node = ec.register_resource("linux::Node")
        command = "[ -e ../done ] || { echo 5; touch ../done; }"
        app = ec.register_resource("test::Counter", command=command, connectedTo=node)
        ec.deploy()
        assert ec.wait_finished(app, timeout=30)
        assert ec.get(app, "last") == 5
        ec.start(app)
        assert ec.wait_finished(app, timeout=30)
        assert ec.get(app, "last") is None
