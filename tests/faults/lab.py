"""A lab: hosts of a test bed, and workers that reach them over SSH."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.stand import Stand, Worker, until
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController

APPLICATION = "linux::Application"

_STATES = {"READY", "STARTED", "STOPPED", "FINISHED", "FAILED"}
# Run directories, the marks of ended runs, and what belongs to no run.
_KEPT = re.compile(
    r"\.nepiq(/(lock|able|kernel|swept|leases(/.*)?|\.usr(/.*)?|ended(/\d+-\d+)?|\d+(/\d+(/.*)?)?))?"
)


class Lab:
    """Hosts, a Redis, and workers whose ssh_config knows the hosts by their names.

    Args:
        folder: where logs go.
        bed: the hosts.
    """

    def __init__(self, folder: Path, bed: Testbed) -> None:
        self.stand = Stand(folder, NEPIQ_SSH_CONFIG=str(bed.ssh_config))
        self.bed = bed

    def __enter__(self) -> Lab:
        self.stand.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.stand.__exit__(*error)

    @property
    def host(self) -> Host:
        """The first host."""
        return self.bed.hosts[0]

    def start_workers(self, count: int, **environment: str) -> list[Worker]:
        """Start workers side by side."""
        made = [self.stand.start_worker(wait=False, **environment) for _ in range(count)]
        for worker in made:
            until(lambda worker=worker: " ready." in worker.text(), 60.0, f"no {worker.name}")  # type: ignore[misc]
        return made

    def nodes(self, ec: ExperimentController, hosts: Sequence[Host], **how: Any) -> list[int]:
        """Register each host."""
        return [
            ec.register_resource("linux::Node", label=host.name, hostname=host.name, **how)
            for host in hosts
        ]

    def history(self, run_id: str, guids: Sequence[int]) -> dict[int, list[str]]:
        """The states that resources of a run entered from READY on, each as often as it did."""
        found: dict[int, list[str]] = {guid: [] for guid in guids}
        for event in self.stand.backend().run(run_id).events():
            if event.guid in found and event.what in _STATES:
                found[event.guid].append(event.what)
        return found

    def expect_nothing(self, run_id: str, *hosts: Host, seconds: float = 10.0) -> None:
        """Fail unless nothing of any run is left on hosts but kept directories, soon.

        Args:
            run_id: the run that has just ended.
            hosts: which; all by default.
            seconds: how soon.
        """
        for host in hosts or self.bed.hosts:
            found: list[object] = []

            def clean(host: Host = host, found: list[object] = found) -> bool:
                try:
                    found[:] = leftovers(host, run_id)
                except FileNotFoundError:  # a directory is being removed
                    return False
                return not found

            try:
                until(clean, seconds, f"{host.name} is not clean")
            except AssertionError as error:
                raise AssertionError(f"{error}: {found}") from None


def leftovers(host: Host, run_id: str) -> list[object]:
    """Processes and files of runs on a host, and bearers of one run."""
    found: list[object] = [
        process
        for process in host.processes()
        if process.user != "root" and not process.args.startswith("sshd: ")
    ]
    found += host.bearers(run_id)
    for path in sorted((host.root / "lab").rglob("*")):
        name = str(path.relative_to(host.root / "lab"))
        if not _KEPT.fullmatch(name) or name.endswith(".part"):
            found.append(name)
    found += [path.name for path in host.inside("/tmp").iterdir()]
    return found
