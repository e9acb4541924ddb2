"""Where sudo refuses, and where the password is that it may ask for."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from tests import processes

from nepiq.controller.errors import HostError
from nepiq.controller.model.host import Exit
from nepiq.controller.model.values import SecretReference

from .rig import Rig
from .sudoers import PASSWORD, RigOf, Sudoers, without_sudo

pytestmark = pytest.mark.needs("sudo", "unshare", "nsenter", "setpriv", "mount")


# --- where it cannot be


def refused(rig: Rig, guid: int = 5) -> str:
    """What the error says of both kinds of commands; nothing has run."""
    said = set()
    for act in (
        lambda: rig.host(guid).run("touch /ran", sudo=True),
        lambda: rig.host(guid).supervise("touch /ran", sudo=True),
    ):
        before = time.monotonic()
        with pytest.raises(HostError) as caught:
            act()
        assert time.monotonic() - before < 10
        said.add(str(caught.value))
    assert not rig.run_dir(guid).joinpath(".started").exists()
    (text,) = said
    assert PASSWORD not in text
    return text


def test_no_password(rig_of: RigOf) -> None:
    host = os.uname().nodename
    assert refused(rig_of("nepiq-asked")) == (
        f"app-5: sudo asks for a password on {host} "
        "(give the node sudoPassword=env:NAME or file:PATH)"
    )


def test_a_wrong_password(rig_of: RigOf, tmp_path: Path, password_file: str) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    rig = rig_of("nepiq-asked", password=f"file:{wrong}")
    host = os.uname().nodename
    text = refused(rig)
    assert f"sudo refuses the password on {host} (sudoPassword file:{wrong}" in text
    assert text.endswith(f"correct it on {host})")
    rig.sudo_password = SecretReference(password_file)
    assert rig.host(5).supervise("exec sleep 60", sudo=True).adopted is False


def test_a_reference_to_nothing(
    rig_of: RigOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEPIQ_MACHINE", "worker-7")
    rig = rig_of("nepiq-asked", password="env:NO_SUCH_VARIABLE")
    assert refused(rig).endswith(
        "(sudoPassword env:NO_SUCH_VARIABLE is empty or not set; correct it on worker-7)"
    )
    rig.sudo_password = SecretReference(f"file:{tmp_path}/none")
    assert "cannot be read: No such file or directory; correct it on worker-7" in refused(rig)
    free = rig_of("nepiq-free", password=f"file:{tmp_path}/none")
    assert free.host(5).run("id -u", sudo=True).text == "0"


def test_a_user_who_may_not(rig_of: RigOf, password_file: str) -> None:
    text = refused(rig_of("nepiq-barred", password=password_file))
    assert "nepiq-barred may not use sudo on" in text
    assert "sudoers(5)" in text


def test_no_sudo(rig_of: RigOf, sudoers: Sudoers) -> None:
    rig = rig_of("nepiq-free", path=without_sudo(sudoers.folder))
    assert "lacks sudo: install the package sudo" in refused(rig)


def test_others_need_no_sudo(rig_of: RigOf, tmp_path: Path) -> None:
    rig = rig_of("nepiq-barred", password=f"file:{tmp_path}/none")
    rig.host(5).supervise("setsid sleep 60 & exec sleep 60")
    rig.host(5).end()
    assert ended_as_user(rig).outcome == "STOPPED"


def ended_as_user(rig: Rig) -> Exit:
    launch = rig.host(5).supervise("touch again")
    assert launch.exit is not None
    return launch.exit


# --- the password


class Spy(threading.Thread):
    """Looks for the password among the arguments and environments of all processes."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.found: list[str] = []
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            self.looks += 1
            for pid in processes.pids():
                for name in ("cmdline", "environ"):
                    content = processes.read(pid, name)
                    if PASSWORD.encode() in content:
                        self.found.append(f"{pid} {name}: {content[:200]!r}")

    def stop(self) -> None:
        self._over.set()
        self.join()


def test_the_password_is_nowhere(
    sudoers: Sudoers,
    monkeypatch: pytest.MonkeyPatch,
    rig_of: RigOf,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0)
    monkeypatch.setenv("LAB_PASSWORD", PASSWORD)
    rig = rig_of("nepiq-asked", password="env:LAB_PASSWORD", deployed=False)
    spy = Spy()
    spy.start()
    try:
        rig.prepare(clean_experiment=True, clean_processes=True)
        rig.host(5).run("env; tr '\\0' '\\n' </proc/$PPID/environ; exec sleep 0.3", sudo=True)
        rig.host(5).supervise("env; exec sleep 60", sudo=True, started_when="output:NEPIQ")
        rig.host(6).supervise("env; exec sleep 60")
        rig.host(7).run("env; exec sleep 0.3")
        rig.host(5).end()
        rig.host(5).clear()
        rig.host(1).dismantle()
    finally:
        spy.stop()
    assert spy.looks > 3
    assert spy.found == []
    for path in [sudoers.log, *rig.home.rglob("*")]:
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
    assert "COMMAND=" in sudoers.log.read_text()
    assert PASSWORD not in caplog.text
