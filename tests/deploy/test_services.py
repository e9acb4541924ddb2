"""The services of compose.yaml, started as they stand, and the experiment of their page."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.conftest import Need
from tests.deploy.files import DEPLOY, assigned, compose
from tests.deploy.services import Project
from tests.net import answers, code, get
from tests.stand import ROOT, until
from tests.testbed import missing

pytestmark = [
    pytest.mark.needs("redis-server", "prometheus", "setpriv"),
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("compose"),
]

FLOWER = secrets.token_hex(16)
PAGE = ROOT / "docs/deployment/one-machine.md"
# .env as it makes it.
VARIABLES = {
    **assigned((DEPLOY / "nepiq.env.example").read_text()),
    "NEPIQ_REDIS_PASSWORD": secrets.token_hex(32),
    "NEPIQ_FLOWER_PASSWORD": FLOWER,
}


@pytest.fixture(scope="module")
def project(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """docker compose up --detach --scale worker=2."""
    lacking = missing()
    need("services in namespaces", not lacking, f"needs {lacking}")
    folder = tmp_path_factory.mktemp("compose")
    read = compose(VARIABLES)
    given = folder / "prometheus-compose.yml"
    (at,) = [n for n, v in enumerate(volumes(read, "prometheus")) if "prometheus-compose.yml" in v]
    volumes(read, "prometheus")[at] = f"{given}:/etc/prometheus/compose.yml:ro"
    with Project(read, folder, {"worker": 2}) as made:
        given.write_text(watched(made.addresses("worker")))
        made.up()
        yield made


def volumes(read: dict[str, Any], name: str) -> list[str]:
    found: list[str] = read["services"][name]["volumes"]
    return found


def watched(workers: list[str]) -> str:
    """What Prometheus watches, more often, and with addresses in place of Docker's DNS."""
    read = yaml.safe_load((DEPLOY / "prometheus-compose.yml").read_text())
    read["global"]["scrape_interval"] = "500ms"
    (job,) = [job for job in read["scrape_configs"] if "dns_sd_configs" in job]
    ((asked,)) = job.pop("dns_sd_configs")
    assert (asked["names"], asked["type"]) == (["worker"], "A")
    job["static_configs"] = [{"targets": [f"{address}:{asked['port']}" for address in workers]}]
    return yaml.safe_dump(read)


def documented() -> list[str]:
    """What the page has one run after docker compose up."""
    text = PAGE.read_text()
    (line,) = re.findall(r"(?m)^\$ docker compose run --rm (.*)$", text)
    return shlex.split(line)


def test_the_experiment_of_the_docs(project: Project) -> None:
    assert re.findall("--scale worker=2", PAGE.read_text())
    service, *command = documented()
    client = project.run(service, *command)
    assert client.ended() == 0, client.text()
    assert "served by host-1" in client.text()
    doctor = project.run(service)
    assert doctor.ended() == 0, doctor.text()
    assert "data is persistent" in doctor.text()
    (workers,) = [line for line in doctor.text().splitlines() if "workers:" in line]
    assert workers.count("nepiq.default") == 2


def test_all_become_healthy(project: Project) -> None:
    checked = project.checked()
    assert checked == ["redis", "worker", "flower", "metrics"]
    for name in checked:
        project.healthy(name)


def test_flower_wants_the_password(project: Project) -> None:
    project.healthy("flower")
    (address,) = project.addresses("flower")
    url = f"http://{address}:5555/"
    assert code(url) == code(url, "nepiq:wrong") == 401
    assert code(url, f"nepiq:{FLOWER}") == 200
    until(
        lambda: "nepiq.default" in get(f"{url}broker", f"nepiq:{FLOWER}"),
        20.0,
        "Flower knows no queue",
    )


def test_prometheus_scrapes_all(project: Project) -> None:
    (address,) = project.addresses("prometheus")
    url = f"http://{address}:9090"

    def ask(what: str) -> Any:
        return json.loads(get(f"{url}/api/v1/{what}"))["data"]

    def up() -> set[str]:
        found = ask("query?" + urllib.parse.urlencode({"query": "up == 1"}))["result"]
        return {one["metric"]["instance"] for one in found}

    wanted = {f"{worker}:9109" for worker in project.addresses("worker")} | {"metrics:9108"}
    until(lambda: answers(f"{url}/-/ready"), 30.0, "Prometheus is not ready")
    until(lambda: up() == wanted, 30.0, "targets are not scraped")
    (group,) = ask("rules")["groups"]
    (expected,) = yaml.safe_load((DEPLOY / "prometheus/nepiq-rules.yml").read_text())["groups"]
    assert [rule["name"] for rule in group["rules"]] == [r["alert"] for r in expected["rules"]]


# What a confined service may write to.
WRITABLE = {
    "redis": {"/data"},
    "worker": {"/home/nepiq", "/tmp"},
    "flower": {"/tmp"},
    "metrics": {"/tmp"},
    "prometheus": {"/prometheus"},
}
USERS = {"redis": 999, "prometheus": 65534}


@pytest.mark.parametrize("name", WRITABLE)
def test_a_confined_service_can_do_little(project: Project, name: str) -> None:
    container = project.containers[name][0]
    others = {"/", "/etc", "/keys", "/opt/nepiq", "/var/tmp"}
    for place in others.union(*WRITABLE.values()):
        done = container.run("touch", f"{place}/touched")
        assert (done.returncode == 0) == (place in WRITABLE[name]), (place, done.stderr)
    told = container.run("cat", "/proc/1/status", "/proc/self/status").stdout
    assert told.count("NoNewPrivs:\t1") == 2
    for kind in ("Prm", "Eff", "Bnd", "Amb"):
        assert told.count(f"Cap{kind}:\t{'0' * 16}") == 2
    user = USERS.get(name, 10001)
    assert told.count(f"Uid:\t{user}\t{user}\t{user}\t{user}") == 2


def test_only_hosts_are_not_confined(project: Project) -> None:
    assert set(project.containers) - set(WRITABLE) == {"keys", "host-1", "host-2"}


def test_a_worker_reads_its_key_and_runs_nothing_of_tmp(project: Project) -> None:
    worker = project.containers["worker"][0]
    assert worker.run("cat", "/keys/login").returncode == 0
    assert "Permission denied" in worker.run("cat", "/keys/host").stderr
    done = worker.run("sh", "-c", "printf '#!/bin/sh\\n' >/tmp/x; chmod +x /tmp/x; /tmp/x")
    assert "Permission denied" in done.stderr


def test_hosts_have_nothing_of_nepiq(project: Project) -> None:
    host = project.containers["host-1"][0]
    assert host.run("uname", "-n").stdout == "host-1\n"
    assert host.run("sh", "-c", "command -v nepiq; ls /opt").stdout == ""
    assert host.run("touch", "/keys/x").returncode != 0


def test_redis_keeps_its_data_in_its_volume(project: Project) -> None:
    project.restart("redis")
    # It waits for the health of the new one; workers find it again by themselves.
    again = project.run(*documented())
    assert again.ended() == 0, again.text()
    listed = project.run("client", "ls", "--json")
    assert listed.ended() == 0, listed.text()
    assert [run["exp_id"] for run in json.loads(listed.text())] == ["two-hosts"] * 2


def test_all_end_within_their_grace(project: Project) -> None:
    for name in ("worker", "flower", "metrics", "prometheus", "host-1", "host-2", "redis"):
        codes = project.stop(name)
        assert not any(codes), (name, project.containers[name][0].text())
    for worker in project.containers["worker"]:
        assert "Warm shutdown" in worker.text()
        assert "Traceback" not in worker.text()
