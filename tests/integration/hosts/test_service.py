"""linux::Service: supervised for real, and a unit of a systemd that is a stand-in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nepiq.controller.errors import InvalidValue
from nepiq.controller.resources.linux.node import Node
from nepiq.controller.resources.linux.service import Service
from nepiq.controller.testing import Harness
from nepiq.workers.hosts import LocalSession

from .played import Played
from .rig import Rig, until

# What systemctl(1) does of a unit: is-active, start, start --wait, stop, show.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>{state}/log
case "$1 $2" in
'is-active '*) [ -e {state}/active ] ;;
'start --wait') while [ -e {state}/active ]; do sleep 0.02; done ;;
'start '*)
    [ ! -e {state}/broken ] || {{ echo 'Failed to start lab.service' >&2; exit 5; }}
    touch {state}/active
    ;;
'stop '*) rm -f {state}/active ;;
'show '*) cat {state}/code ;;
esac
"""


class Systemd:
    """A stand-in with one unit, whose state is in files."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.state = folder / "systemd"
        tools = folder / "tools"
        for made in (self.state, tools):
            made.mkdir()
        (self.state / "code").write_text("0\n")
        (self.state / "journal").touch()
        programs = {
            "systemctl": SYSTEMCTL.format(state=self.state),
            "journalctl": f"#!/bin/sh\nexec tail -f '{self.state}/journal'\n",
        }
        for name, text in programs.items():
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        rig.session.close()
        path = f"{tools}:{os.environ['PATH']}"
        rig.session = LocalSession(home=str(rig.home), env={"PATH": path})

    @property
    def active(self) -> bool:
        return (self.state / "active").exists()

    @property
    def log(self) -> list[str]:
        return (self.state / "log").read_text().splitlines()


@pytest.fixture
def systemd(rig: Rig, tmp_path: Path) -> Iterator[Systemd]:
    return Systemd(rig, tmp_path)  # type: ignore[return-value]


def test_a_supervised_service_is_restarted(rig: Rig) -> None:
    command = "echo up; n=$(grep -c up stdout); [ $n -ge 3 ] || exit 0; exec sleep 600"
    service = Played(rig, Service, command=command, restartDelay="20ms")
    service.start()
    until(lambda: (rig.run_dir(5) / "stdout").read_text() == "up\n" * 3)
    service.act("do_stop")
    assert service.ended().outcome == "STOPPED"
    assert rig.bearers() == {}


@pytest.mark.parametrize("end", ["do_stop", "do_release", "dismantle"])
def test_a_unit_lives_with_its_resource(rig: Rig, systemd: Systemd, end: str) -> None:
    service = Played(rig, Service, unit="lab.service")
    assert service.start().exit is None
    assert systemd.active
    with (systemd.state / "journal").open("a") as journal:
        journal.write("served one\n")
    until(lambda: "served one" in (rig.run_dir(5) / "stdout").read_text())
    if end == "dismantle":  # as of a run that is dead, by nepiq clean
        rig.host(1).dismantle()
    else:
        service.act(end)
    until(lambda: not systemd.active)
    assert rig.journal()[-1][5] == "STOPPED"
    until(lambda: rig.bearers() == {})


def test_a_unit_that_was_active_stays_so(rig: Rig, systemd: Systemd) -> None:
    (systemd.state / "active").touch()
    service = Played(rig, Service, unit="lab.service")
    service.start()
    service.act("do_stop")
    assert systemd.active
    assert "start -- lab.service" not in systemd.log


def test_a_unit_that_ends(rig: Rig, systemd: Systemd) -> None:
    (systemd.state / "code").write_text("7\n")
    service = Played(rig, Service, unit="lab.service", restart="no")
    service.start()
    (systemd.state / "active").unlink()
    assert (service.ended().code, service.ended().outcome) == (7, "FAILED")
    until(lambda: rig.bearers() == {})


def test_a_unit_that_does_not_start(rig: Rig, systemd: Systemd) -> None:
    (systemd.state / "broken").touch()
    service = Played(rig, Service, unit="lab.service", restart="no")
    launch = service.start()
    assert launch.exit.code == 5
    assert "Failed to start lab.service" in launch.exit.reason


@pytest.mark.parametrize("unit", ["-x", "a b", "a;b", "$(reboot)", 7])
def test_odd_units(unit: object) -> None:
    with pytest.raises(InvalidValue):
        Harness(Service, node=Harness(Node), unit=unit)


def test_a_service_has_a_command_or_a_unit() -> None:
    for settings in ({}, {"command": "x", "unit": "y"}, {"unit": "y", "cpus": 1}):
        service = Harness(Service, node=Harness(Node), **settings)
        with pytest.raises(InvalidValue):
            service.deploy()
