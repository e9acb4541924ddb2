"""Limits of processors and memory: by real cgroups of version 1, else by stand-ins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.conftest import Need

from nepiq.controller.errors import HostError, InvalidValue
from nepiq.controller.resources.linux.application import Application
from nepiq.controller.resources.linux.limits import Limited
from nepiq.controller.resources.linux.node import Node
from nepiq.controller.testing import Harness
from nepiq.workers.hosts import LocalSession

from .played import Played
from .rig import Rig

GROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def groups(need: Need) -> None:
    tops = (GROUPS / "memory" / "cgroup.procs", GROUPS / "cgroup.subtree_control")
    usable = os.geteuid() == 0 and any(os.access(top, os.W_OK) for top in tops)
    need("root, who may make control groups", usable)


def left(rig: Rig) -> list[str]:
    """The groups of a run that exist."""
    # Those of other tests go meanwhile, which os.walk passes over.
    return [
        f"{path}/{name}"
        for path, names, _ in os.walk(GROUPS)
        for name in names
        if name.startswith(f"nepiq-{rig.run_id}.")
    ]


@pytest.mark.usefixtures("groups")
def test_memory(rig: Rig) -> None:
    command = "python3 -c 'b = bytearray(300_000_000)'"
    app = Played(rig, Application, command=command, memory="64M")
    done = app.exit()
    assert (done.code, done.outcome) == (137, "FAILED")
    assert "memory" in done.hint
    app.act("do_release")


@pytest.mark.usefixtures("groups")
def test_processors(rig: Rig) -> None:
    """A second of two busy loops with a fifth of a processor takes less than half a second."""
    loop = "timeout 1 sh -c 'while :; do :; done'"
    command = f"{loop} & {loop}; wait; cut -d ' ' -f 16,17 /proc/$$/stat"
    app = Played(rig, Application, command=command, cpus=0.2)
    done = app.exit()
    assert done.code == 0
    ticks = sum(int(word) for word in done.outputs["stdout"].split())
    assert ticks / os.sysconf("SC_CLK_TCK") < 0.5
    app.act("do_release")
    assert left(rig) == []


@pytest.mark.usefixtures("groups")
def test_both_and_what_another_start_left(rig: Rig) -> None:
    first = Played(rig, Application, command="cat /proc/self/cgroup", cpus=1, memory="1G")
    lines = first.exit().outputs["stdout"].decode().splitlines()
    inside = {line.split(":")[1] for line in lines if line.endswith(f"nepiq-{rig.run_id}.5.1")}
    assert inside in ({"memory", "cpu"}, {"memory", "cpu,cpuacct"}, {""})
    assert left(rig)
    # Nothing releases the first one, as if its run were dead.
    second = Played(rig, Application, guid=6, command="true", cpus=1, memory="1G")
    assert second.exit().code == 0
    assert not [path for path in left(rig) if path.endswith(".5.1")]
    second.act("do_release")
    assert left(rig) == []


# --- version 2, as plain files


@pytest.fixture
def version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    top = tmp_path / "cgroup"
    top.mkdir()
    (top / "cgroup.controllers").write_text("cpuset cpu memory pids\n")
    (top / "cgroup.subtree_control").write_text("cpu\n")
    monkeypatch.setattr(Limited, "cgroups", str(top))
    return top


def test_version_2(rig: Rig, version_2: Path) -> None:
    app = Played(rig, Application, command="echo done", cpus=1.5, memory="10M")
    assert app.exit().outputs["stdout"] == b"done\n"
    assert app.attributes["limiter"] == "cgroup"
    group = version_2 / f"nepiq-{rig.run_id}.5.1"
    assert (group / "cpu.max").read_text() == "150000 100000\n"
    assert (group / "memory.max").read_text() == f"{10 << 20}\n"
    assert (group / "cgroup.procs").read_text() == "0\n"
    # It lacked the second one.
    assert (version_2 / "cgroup.subtree_control").read_text() == "+memory\n"


def test_a_host_that_cannot_limit(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limited, "cgroups", str(tmp_path / "nothing"))
    with pytest.raises(HostError, match="cannot limit cpus and memory") as caught:
        Played(rig, Application, command="true", cpus=1, memory="1G").act("do_deploy")
    assert "sudo=True" in caught.value.hint


# --- a stand-in for systemd-run, which enters a group of plain files


SYSTEMD = """#!/bin/sh
echo "$*" >>{log}
case $1 in --user) {user} ;; *) {system} ;; esac
while :; do
    case $1 in
    --*|-q) shift ;;
    -p) shift 2 ;;
    *) break ;;
    esac
done
exec "$@"
"""


def systemd(rig: Rig, folder: Path, *, system: str, user: str) -> Path:
    tools = folder / "tools"
    tools.mkdir()
    program, log = tools / "systemd-run", folder / "log"
    program.write_text(SYSTEMD.format(log=log, system=system, user=user))
    program.chmod(0o755)
    rig.session.close()
    env: Mapping[str, str] = {"PATH": f"{tools}:{os.environ['PATH']}"}
    rig.session = LocalSession(home=str(rig.home), env=dict(env))
    return log


@pytest.mark.parametrize("whose", ["system", "user"])
def test_systemd(rig: Rig, tmp_path: Path, version_2: Path, whose: str) -> None:
    log = systemd(rig, tmp_path, **{"system": "exit 1", "user": "exit 1", whose: ":"})
    (version_2 / "cpu.max").write_text("50000 100000\n")
    (version_2 / "memory.max").write_text(f"{512 << 20}\n")
    app = Played(rig, Application, command="echo 'it'\\''s done'", cpus=0.5, memory="512M")
    assert app.exit().outputs["stdout"] == b"it's done\n"
    how = "systemd-run --scope" if whose == "system" else "systemd-run --user --scope"
    assert app.attributes["limiter"] == how
    assert (
        f"-q -p CPUQuota=50% -p MemoryMax={512 << 20} -p MemorySwapMax=0 sh -c"
        in log.read_text().splitlines()[-1]
    )


def test_systemd_that_ignores_a_limit(rig: Rig, tmp_path: Path, version_2: Path) -> None:
    """As a user manager does that was not given the controller."""
    systemd(rig, tmp_path, system=":", user=":")
    (version_2 / "memory.max").write_text("max\n")
    app = Played(rig, Application, command="true", memory="512M")
    app.act("do_deploy")
    assert app.attributes["limiter"] == "cgroup"


@pytest.mark.parametrize("value", ["", "much", "1X", 0, -1, True, "1" * 30, "100"])
def test_odd_sizes(value: object) -> None:
    with pytest.raises(InvalidValue):
        Harness(Application, node=Harness(Node), memory=value)


@pytest.mark.parametrize(
    ("value", "size"), [("512M", 512 << 20), ("1.5g", 3 << 29), ("4 KiB", 4096), (5000, 4096)]
)
def test_sizes(value: object, size: int) -> None:
    assert Harness(Application, node=Harness(Node), memory=value).rm.memory == size
