"""What can be checked of the files of deploy/ without Docker and without being systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.files import DEPLOY, UNITS, compose, unit, unit_command
from tests.stand import ROOT

from nepiq.controller.settings import Settings

PASSWORDS = dict.fromkeys(("NEPIQ_REDIS_PASSWORD", "NEPIQ_FLOWER_PASSWORD"), "0" * 32)
# Of the Compose specification, what this file may use.
SERVICE = {
    *("image", "build", "command", "entrypoint", "environment", "volumes", "ports", "healthcheck"),
    *("restart", "depends_on", "init", "read_only", "tmpfs", "cap_drop", "security_opt"),
    *("stop_grace_period", "hostname", "profiles", "working_dir"),
}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


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
    assert options["Restart"] == ["always"]
    assert options["NoNewPrivileges"] == ["yes"]
    assert options["ProtectSystem"] == ["strict"]
    assert options["User"] != ["root"]
    assert all(Path(file).is_absolute() for file in options["EnvironmentFile"])
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


def test_compose_is_of_the_form_of_its_specification() -> None:
    read = compose(PASSWORDS)
    assert set(read) - {"name", "services", "volumes"} == {"x-nepiq", "x-environment"}
    services: dict[str, dict[str, Any]] = read["services"]
    for name, service in services.items():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
        assert set(service) <= SERVICE, name
        assert "image" in service or "build" in service
        for command in (service.get("command", []), service.get("entrypoint", [])):
            assert all(isinstance(word, str) for word in command), name
        for other, how in service.get("depends_on", {}).items():
            assert other in services
            assert how["condition"] in CONDITIONS
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source.startswith("./") or source in read["volumes"], volume
        for published in service.get("ports", []):
            assert published.startswith("127.0.0.1:"), "nothing is open to the network"


def test_compose_names_files_that_there_are() -> None:
    for name, service in compose(PASSWORDS)["services"].items():
        built = service.get("build")
        if built is not None:
            context = built if isinstance(built, str) else built["context"]
            file = "Dockerfile" if isinstance(built, str) else built["dockerfile"]
            assert (ROOT / context / file).is_file(), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./") and source != "./deploy/prometheus":
                assert (ROOT / source).exists(), source


def test_compose_wants_passwords() -> None:
    with pytest.raises(KeyError, match="NEPIQ_REDIS_PASSWORD"):
        compose()


def test_images_copy_files_that_there_are() -> None:
    for file, context in (
        (DEPLOY / "Dockerfile", ROOT),
        (DEPLOY / "host/Dockerfile", DEPLOY / "host"),
    ):
        text = file.read_text()
        for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", text):
            for source in line.split()[:-1]:
                assert (context / source).exists(), source
    text = (DEPLOY / "Dockerfile").read_text()
    assert "USER nepiq" in text
    assert "HEALTHCHECK" in text
    # What .dockerignore lets through is what is copied.
    let = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert {"controller", "workers", "tasks", "pyproject.toml", "constraints.txt"} <= let


def test_the_example_of_settings_names_only_what_there_is() -> None:
    code = "".join(
        path.read_text()
        for folder in ("controller", "workers", "deploy")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in {".py", ""}
    )
    code += (ROOT / "compose.yaml").read_text()
    text = (DEPLOY / "nepiq.env.example").read_text()
    names = re.findall(r"(?m)^#?(NEPIQ_[A-Z_]+)=", text)
    assert len(names) > 8
    for name in names:
        assert name in code, name
    assert Settings.__doc__ is not None


@pytest.mark.needs("ssh-keygen")
def test_keys_of_the_hosts(tmp_path: Path) -> None:
    script = DEPLOY / "host" / "keys.sh"
    for _ in range(2):  # a second time it changes nothing
        subprocess.run([str(script), str(tmp_path)], check=True)
        found = (tmp_path / "login").read_text()
    assert (tmp_path / "login").read_text() == found
    line = (tmp_path / "known_hosts").read_text().split()
    assert line[0] == "host-1,host-2"
    assert line[1] == "ssh-ed25519"
    ssh = shutil.which("ssh")
    if ssh:
        done = subprocess.run(
            [ssh, "-G", "-F", str(tmp_path / "ssh_config"), "host-1"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"identityfile {tmp_path}/login" in done.stdout
