"""Whoever is killed while contents are carried or built: nothing of it stays half done."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests import processes
from tests.faults.lab import APPLICATION, Lab
from tests.stand import Worker, until
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController

pytestmark = [
    pytest.mark.needs("redis-server", "sshd", "tc"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-components"),
]

SIZE = 12_000_000
COUNT = 6

# The marker is a FIFO, whose reader waits for the test.
BUILD = "echo begun >>$HOME/begun; sleep 300 & read -r word <$HOME/gate; echo $word >result"


def usr(host: Host) -> Path:
    return host.root / "lab/.nepiq/.usr"


def arrived(host: Host) -> int:
    """Bytes of contents that have arrived so far."""
    return sum(path.stat().st_size for path in (usr(host) / "part").glob("*") if path.is_file())


def half_done(host: Host) -> list[str]:
    """What the caches of a host have that is not whole."""
    parts = [path.name for path in (usr(host) / "part").iterdir()]
    builds = [path for path in (usr(host) / "build").glob("*") if path.is_dir()]
    return parts + [
        path.name
        for path in builds
        if not {"ready", "failed"} & {one.name for one in path.iterdir()}
    ]


def applications(lab: Lab, ec: ExperimentController, **options: object) -> list[int]:
    (node,) = lab.nodes(ec, [lab.host])
    return [ec.register_resource(APPLICATION, connectedTo=node, **options) for _ in range(COUNT)]


def busy(lab: Lab, ec: ExperimentController) -> Worker:
    """The worker that executes the step whose application says what it does."""
    run = lab.stand.backend().run(ec.run_id)
    steps = [
        step
        for guid in ec.resources
        for step in run.store.steps(guid)
        if step.status == "claimed" and "activity" in run.record(guid).attributes
    ]
    name = steps[0].worker.partition("@")[0]
    return next(worker for worker in lab.stand.workers if worker.name == name)


def builder(lab: Lab, ec: ExperimentController) -> tuple[str, Worker]:
    """The mark of the processes of a build on the host, and the worker that waits for it.

    Others have said that they build, too, just before they found that somebody does.
    """
    root = str(lab.host.inside("/proc"))
    found: list[str] = []

    def sleeps() -> bool:
        marks = processes.identities(f"{ec.run_id}.", root=root)
        found[:] = [
            mark
            for pid, mark in marks.items()
            if processes.read(pid, "cmdline", root) == b"sleep\x00300\x00"
        ]
        return bool(found)

    until(sleeps, 60.0, "no build")
    (mark,) = found
    step = lab.stand.backend().run(ec.run_id).store.step(f"{mark.split('.')[1]}.deploy")
    return mark, next(one for one in lab.stand.workers if step.worker.startswith(f"{one.name}@"))


@pytest.fixture
def content(tmp_path: Path) -> Path:
    file = tmp_path / "content"
    file.write_bytes(os.urandom(SIZE))
    return file


def test_a_worker_is_killed_while_it_carries(
    testbed: Testbed, tmp_path: Path, content: Path
) -> None:
    with Lab(tmp_path, testbed) as lab, lab.stand.experiment("carry") as ec:
        lab.start_workers(2)
        lab.host.slow("16mbit")
        apps = applications(lab, ec, files=str(content), command="wc -c <${SHARE}/content")
        ec.deploy()
        until(lambda: arrived(lab.host) > SIZE / 4, 60.0, "it does not arrive")
        doomed = busy(lab, ec)
        doomed.signal(signal.SIGKILL)
        doomed.ended()
        before = received(lab.host)
        lab.host.mend()
        assert ec.wait_finished(apps, timeout=60.0), ec.failures
        # The other one goes on with what has come.
        assert received(lab.host) - before < SIZE
        assert {ec.trace(app, "stdout") for app in apps} == {f"{SIZE}\n"}
        ec.release()
        assert ec.failures == []
        assert half_done(lab.host) == []
        lab.expect_nothing(ec.run_id)


def received(host: Host) -> int:
    lines = host.run("cat /proc/net/dev").stdout.splitlines()[2:]
    return sum(int(line.split()[1]) for line in lines if not line.strip().startswith("lo:"))


def test_a_worker_is_killed_while_it_builds(testbed: Testbed, tmp_path: Path) -> None:
    with Lab(tmp_path, testbed) as lab, lab.stand.experiment("build") as ec:
        lab.start_workers(2)
        lab.host.run("mkfifo gate")
        apps = applications(lab, ec, build=BUILD, command="cat result")
        ec.deploy()
        begun = lab.host.root / "lab/begun"
        _, doomed = builder(lab, ec)
        doomed.signal(signal.SIGKILL)
        doomed.ended()
        # The build outlives its worker; nobody begins another one, and its result is used.
        lost(lab, ec, 1)
        lab.host.run("echo whole >gate")
        assert ec.wait_finished(apps, timeout=60.0), ec.failures
        assert {ec.trace(app, "stdout") for app in apps} == {"whole\n"}
        assert begun.read_text() == "begun\n"
        ec.release()
        assert ec.failures == []
        assert half_done(lab.host) == []
        forget(lab.host)
        lab.expect_nothing(ec.run_id)


def test_a_build_is_killed_with_its_worker(testbed: Testbed, tmp_path: Path) -> None:
    with Lab(tmp_path, testbed) as lab, lab.stand.experiment("again") as ec:
        lab.start_workers(2)
        lab.host.run("mkfifo gate")
        apps = applications(lab, ec, build=BUILD, command="cat result")
        ec.deploy()
        begun = lab.host.root / "lab/begun"
        mark, doomed = builder(lab, ec)
        doomed.signal(signal.SIGKILL)
        doomed.ended()
        for pid in lab.host.bearers(mark):
            lab.host.run(f"kill -9 {pid}", check=False)
        until(lambda: begun.read_text() == "begun\nbegun\n", 60.0, "no other worker builds")
        lab.host.run("echo whole >gate")
        assert ec.wait_finished(apps, timeout=60.0), ec.failures
        assert {ec.trace(app, "stdout") for app in apps} == {"whole\n"}
        assert half_done(lab.host) == []


def lost(lab: Lab, ec: ExperimentController, count: int) -> list[object]:
    """Wait until so many steps have been taken over from the worker that was killed."""
    run = lab.stand.backend().run(ec.run_id)

    def steps() -> list[object]:
        return [one for guid in ec.resources for one in run.store.steps(guid) if one.lost]

    until(lambda: len(steps()) >= count, 60.0, "no step was taken over")
    return steps()[:count]


def forget(host: Host) -> None:
    """Remove what the tests have made beside nepiq's files."""
    for name in ("begun", "gate"):
        (host.root / "lab" / name).unlink()


def test_a_release_ends_what_carries_and_builds(lab: Lab, content: Path) -> None:
    lab.host.run("mkfifo gate")
    begun = lab.host.root / "lab/begun"
    with lab.stand.experiment("release-build") as ec:
        applications(lab, ec, build=BUILD, command="cat result")
        ec.deploy()
        until(begun.exists, 60.0, "no build")
        started = time.monotonic()
        ec.release()
        assert time.monotonic() - started < 20.0
        assert half_done(lab.host) == []
        assert begun.read_text() == "begun\n"
        forget(lab.host)
        lab.expect_nothing(ec.run_id)
    lab.host.slow("16mbit")
    with lab.stand.experiment("release-carry") as ec:
        applications(lab, ec, files=str(content), command="true")
        ec.deploy()
        until(lambda: arrived(lab.host) > SIZE / 4, 60.0, "it does not arrive")
        ec.release()
        assert half_done(lab.host) == []
        lab.expect_nothing(ec.run_id)
