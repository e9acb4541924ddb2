"""Time limits, signals and restarts of commands that run as root, for a user who may use sudo."""

from __future__ import annotations

import pytest

from nepiq.controller.model import Life
from nepiq.controller.model.host import Exit

from .rig import Rig, until
from .sudoers import RigOf

pytestmark = pytest.mark.needs("sudo", "unshare", "nsenter", "setpriv", "mount")

COUNT = 'n=$(($(cat n 2>/dev/null || echo 0) + 1)); echo $n >n; echo "run $n $(id -un)"; '


@pytest.fixture(params=["nepiq-free", "nepiq-asked"])
def sudo_rig(request: pytest.FixtureRequest, rig_of: RigOf, password_file: str) -> Rig:
    """Without a password that sudo requires, and with one."""
    return rig_of(request.param, password=password_file)


def ended(rig: Rig) -> Exit:
    until((rig.run_dir(5) / ".told").exists)
    done = rig.host(5).supervise("touch again", sudo=True).exit
    assert done is not None
    return done


def test_a_timeout(sudo_rig: Rig) -> None:
    rig = sudo_rig
    command = "trap '' TERM; sleep 600 & echo up; wait"
    life = Life(timeout=0.8, grace=0.3)
    rig.host(5).supervise(command, sudo=True, life=life)
    done = ended(rig)
    assert done.outcome == "FAILED"
    assert "its timeout has passed" in done.reason
    until(lambda: rig.bearers() == {})


def test_restarts_and_the_signal(sudo_rig: Rig) -> None:
    rig = sudo_rig
    command = COUNT + "[ $n -ge 3 ] || exit 1; trap 'echo got INT; exit 0' INT; trap '' TERM; "
    command += "echo set; while :; do sleep 0.02; done"
    life = Life(stop_signal="INT", restart="on-failure", pause=0.02)
    rig.host(5).supervise(command, started_when="output:set", sudo=True, life=life)
    rig.host(5).end()
    done = ended(rig)
    lines = done.outputs["stdout"].decode().splitlines()
    assert lines == ["run 1 root", "run 2 root", "run 3 root", "set", "got INT"]
    assert done.outcome == "STOPPED"


def test_a_stop_in_a_pause(sudo_rig: Rig) -> None:
    rig = sudo_rig
    rig.host(5).supervise(COUNT + "exit 1", sudo=True, life=Life(restart="always", pause=600.0))
    until((rig.run_dir(5) / ".restarts").exists)
    rig.host(5).clear()
    assert ended(rig).outcome == "STOPPED"
    until(lambda: rig.bearers() == {})


def test_a_command_learns_whether_the_start_succeeded(sudo_rig: Rig) -> None:
    rig = sudo_rig
    assert rig.host(5).run("echo never", sudo=True, started_only=True).text == ""
    rig.host(5).supervise("exit 1", sudo=True)
    ended(rig)
    assert rig.host(5).run("echo never", sudo=True, started_only=True).text == ""
    rig.host(5, 2).supervise("true", sudo=True)
    until((rig.run_dir(5, 2) / ".told").exists)
    said = rig.host(5, 2).run("echo $(id -un) $NEPIQ_STARTED", sudo=True, started_only=True)
    assert said.text == "root 1"
