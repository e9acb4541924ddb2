"""Whoever is killed, and whenever: a release leaves nothing on hosts but what they are to keep."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.faults.lab import APPLICATION, Lab
from tests.testbed import Testbed

from nepiq.controller import ExperimentController, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "sshd"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-hosts-lost"),
]

# What runs, forks, leaves its group, or has ended.
COMMANDS = ("sleep 300", "sleep 300 & sleep 300", "setsid sleep 300 & true", "true")


def describe(lab: Lab, ec: ExperimentController, times: int = 1, **how: int) -> list[int]:
    """Each of the commands on each host."""
    return [
        ec.register_resource(APPLICATION, command=command, connectedTo=node)
        for node in lab.nodes(ec, lab.bed.hosts, **how)
        for command in COMMANDS * times
    ]


def test_hard_release_leaves_no_run_directory(lab: Lab) -> None:
    with lab.stand.experiment("hard") as ec:
        apps = describe(lab, ec)
        for guid in ec.resources:
            ec.set(guid, "hardRelease", True)
        ec.deploy()
        assert ec.wait_started(apps, timeout=60.0)
        ec.release()
        assert ec.failures == []
        lab.expect_nothing(ec.run_id)
    for host in lab.bed.hosts:
        assert not list((host.root / "lab/.nepiq").glob(f"{ec.run_id}*"))


def test_release_while_applications_are_being_started(lab: Lab) -> None:
    with lab.stand.experiment("early") as ec:
        # One after the other, so that it lasts: those with a condition do not share a request.
        apps = describe(lab, ec, times=6, maxSteps=1)
        for guid in apps:
            ec.set(guid, "startedWhen", "file:stdout")
        ec.deploy()
        assert ec.wait_started(apps[:1], timeout=30.0)
        ec.release()
        assert {ec.state(guid) for guid in apps} == {ResourceState.RELEASED}
        begun = sum("STARTED" in states for states in lab.history(ec.run_id, apps).values())
        print(f"\n{begun} of {len(apps)} had been started")
        assert begun < len(apps)
        lab.expect_nothing(ec.run_id)


def test_killed_while_it_starts_applications(testbed: Testbed, tmp_path: Path) -> None:
    with Lab(tmp_path, testbed) as lab:
        faults = ",".join(f"acted:application-{guid}=kill" for guid in range(1, 30))
        (doomed,) = lab.start_workers(1, NEPIQ_FAULT=faults)
        with lab.stand.experiment("mid-start") as ec:
            apps = describe(lab, ec)
            ec.deploy()
            assert doomed.ended() == -signal.SIGKILL
            lab.start_workers(1)  # finds launches that nobody committed
            assert ec.wait_started(apps, timeout=60.0)
            short = [guid for guid in apps if ec.get(guid, "command").endswith("true")]
            assert ec.wait_finished(short, timeout=30.0)
            ends = lab.history(ec.run_id, short)
            assert ends == {guid: ["READY", "STARTED", "FINISHED"] for guid in short}
            ec.release()
            assert ec.failures == []
            lab.expect_nothing(ec.run_id)
