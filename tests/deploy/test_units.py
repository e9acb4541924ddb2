"""The units of deploy/systemd: what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.deploy.files import UNITS, unit, unit_command


@pytest.fixture(params=UNITS, ids=[path.name for path in UNITS])
def path(request: pytest.FixtureRequest) -> Path:
    """Each unit."""
    found: Path = request.param
    return found


def test_there_are_units() -> None:
    names = {path.name for path in UNITS}
    assert names == {f"nepiq-{n}.service" for n in ("worker@", "redis", "flower", "metrics")}


def test_units_come_back_and_can_do_little(path: Path) -> None:
    options = unit(path)
    # A worker that was drained ends with 0, and stays away.
    assert options["Restart"] == ["on-failure" if "worker" in path.name else "always"]
    assert options["NoNewPrivileges"] == ["yes"]
    assert options["ProtectSystem"] == ["strict"]
    assert options["User"] != ["root"]
    assert all(file.lstrip("-")[0] == "/" for file in options["EnvironmentFile"])
    if "worker" in path.name:
        # Longer than a warm shutdown waits for steps, and commands of localhost nodes live on.
        assert int(options["TimeoutStopSec"][0]) >= 60
        assert options["KillMode"] == ["process"]


def test_systemd_takes_the_units(path: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("a machine without systemd; what the units say is looked at above")
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = path.read_text().replace(unit_command(path)[0], str(program))
    # On a machine without these users verify would complain of them.
    made = tmp_path / path.name.replace("@", "@default")
    made.write_text(re.sub(r"(?m)^(User)=.*", r"\1=root", text).replace("%i", "default"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(made)],
        capture_output=True,
        text=True,
        check=False,
    )
    mine = [line for line in done.stderr.splitlines() if path.name.partition("@")[0] in line]
    assert mine == []
    assert done.returncode == 0, done.stderr
