"""What can be checked of the files of deploy/ without Docker and without being systemd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.deploy.files import DEPLOY
from tests.stand import ROOT

from nepiq.controller.settings import Settings


def test_redis_wants_a_password_worth_the_name(tmp_path: Path) -> None:
    start = str(DEPLOY / "redis" / "start")
    for password, said in (("", "set it: the password"), ("short", "less than 16 characters")):
        done = subprocess.run(
            [start, str(tmp_path)],
            env={**os.environ, "NEPIQ_REDIS_PASSWORD": password},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert said in done.stderr


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("name", ["prometheus/prometheus.yml", "prometheus-compose.yml"])
def test_promtool_takes_the_configuration(name: str, tmp_path: Path) -> None:
    # A copy has no rules beside it, and compose.yaml mounts them elsewhere.
    text = re.sub(
        r"\S*nepiq-rules.yml", f"{DEPLOY}/prometheus/nepiq-rules.yml", (DEPLOY / name).read_text()
    )
    copy = tmp_path / "prometheus.yml"
    command = ["promtool", "check", "config", str(copy)]
    copy.write_text(text)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SUCCESS: 1 rule files found" in done.stdout
    copy.write_text(text.replace("scrape_configs", "scrapes"))
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


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
