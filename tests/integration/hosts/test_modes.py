"""Who else on a shared host may look at what runs leave there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nepiq.controller.resources.linux.node import Node
from nepiq.controller.testing import Harness

from .rig import Rig, until
from .sudoers import RigOf


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_login_user(rig: Rig) -> None:
    """Directories and files that the supervisor makes; the command has the umask of before."""
    before = os.umask(0o022)
    os.umask(before)
    rig.host(5).supervise("umask; touch made; echo out")
    until((rig.run_dir(5) / ".told").exists)
    base = rig.home / ".nepiq"
    for path in (base, base / "ended", base / rig.run_id, rig.root(), rig.root() / "fence"):
        assert mode(path) == 0o700, path
    for name in ("supervisor.sh", "journal", "boot", "exp"):
        assert mode(rig.root() / name) == 0o600, name
    assert int((rig.run_dir(5) / "stdout").read_text().split()[0], 8) == before
    assert mode(rig.run_dir(5) / "made") == 0o666 & ~before


def test_one_of_before_is_narrowed_and_widened(rig: Rig) -> None:
    base = rig.home / ".nepiq"
    base.chmod(0o755)
    rig.prepare()
    assert mode(base) == 0o700
    rig.host(1, run_id=f"wide-{rig.run_id}").prepare(mode=0o755)
    assert [mode(path) for path in (base, base / f"wide-{rig.run_id}" / "1")] == [0o755, 0o755]
    assert mode(rig.root()) == 0o700
    rig.host(1, run_id=f"group-{rig.run_id}").prepare(mode=0o750)
    assert mode(base) == 0o750


def test_commands_as_root_work_in_it(rig_of: RigOf) -> None:
    rig = rig_of("nepiq-free")
    rig.host(5).supervise("id -u; touch here", sudo=True)
    until((rig.run_dir(5) / ".told").exists)
    assert (rig.run_dir(5) / "stdout").read_text() == "0\n"
    assert (rig.run_dir(5) / "here").exists()
    assert mode(rig.home / ".nepiq") == 0o700
    rig.host(5).clear()


@pytest.mark.parametrize(("value", "expected"), [("private", 0o700), ("everyone", 0o755)])
def test_the_attribute(value: str, expected: int) -> None:
    node = Harness(Node, homeAccess=value)
    node.deploy()
    assert node.host.calls[0].options["mode"] == expected
