"""A Prometheus of a test."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
from pathlib import Path
from typing import Any

import yaml
from tests.net import answers, free_port, get
from tests.stand import until

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "nepiq-rules.yml"


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
