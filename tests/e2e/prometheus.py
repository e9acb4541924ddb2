"""A Prometheus of a test, and asking what speaks HTTP."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from tests.stand import until

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "nepiq-rules.yml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, password: str = "", data: bytes | None = None) -> str:
    request = urllib.request.Request(url, data)
    if password:
        token = base64.b64encode(password.encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    with urllib.request.urlopen(request, timeout=10.0) as response:
        return str(response.read().decode())


def code(url: str, password: str = "", data: bytes | None = None) -> int:
    try:
        get(url, password, data)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def answers(url: str) -> bool:
    try:
        return code(url) == 200
    except OSError:
        return False


class Prometheus:
    """A Prometheus that scrapes an exporter and a worker.

    Args:
        folder: for its configuration and data.
        targets: URLs to scrape, by job.
    """

    def __init__(self, folder: Path, targets: dict[str, str]) -> None:
        settings = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        settings["global"] = {"scrape_interval": "300ms", "evaluation_interval": "300ms"}
        settings["rule_files"] = [str(RULES)]
        assert {job["job_name"] for job in settings["scrape_configs"]} == set(targets)
        for job in settings["scrape_configs"]:
            target = urllib.parse.urlsplit(targets[job["job_name"]]).netloc
            job["static_configs"] = [{"targets": [target]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=log,
            )

    def ready(self) -> None:
        """Wait until it has scraped its targets three times."""
        until(lambda: answers(f"{self.url}/-/ready"), 30.0, "Prometheus is not ready")
        seen = "count(count_over_time(up[1m]) > 2) == 2"
        until(lambda: self.query(seen), 20.0, "the targets are not scraped")

    def query(self, text: str) -> list[Any]:
        """What an expression gives now."""
        answer = self.ask("query", query=text)
        return list(answer["result"])

    def ask(self, name: str, **parameters: str) -> Any:
        """Its HTTP API."""
        query = urllib.parse.urlencode(parameters)
        told = json.loads(get(f"{self.url}/api/v1/{name}?{query}"))
        assert told["status"] == "success", told
        return told["data"]

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(20.0)
