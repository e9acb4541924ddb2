"""The feed of the page of hosts: pools and their leases, requests for hosts, workers, queues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..campaign.health import Health
from ..engine.messaging import queues
from ..errors import NepiqError
from ..errors.text import escaped
from ..reports import leases
from ..resources.linux.pool import Pool
from .overview_feed import OverviewFeed
from .rows import safe

if TYPE_CHECKING:
    from ..engine import Backend
    from ..engine.installation import Overview
    from ..engine.membership import WorkerInfo
    from ..engine.pools import Allocation

Labels = Mapping[str, Any]
Troubles = Mapping[str, Sequence[Mapping[str, str]]]


class Hosts(OverviewFeed):
    """Hosts that runs share, and the workers and queues that carry out the runs.

    Args:
        backend: the installation.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__("nepiq-web-hosts", backend)

    def parts(self, overview: Overview) -> Mapping[str, Any]:
        """Return pools, requests for hosts, and workers with their queues."""
        allocation = self.backend.pools.allocation()
        runs = {lease.run_id for lease in allocation.leases.values()}
        runs |= {request.run_id for request in allocation.queue}
        found = self.backend.runs_of(sorted(runs))
        names = {info.run_id: escaped(info.exp_id) for info in found}
        return {
            "pools": {"pools": list(self._pools(allocation, names, self._troubles()))},
            "requests": {"requests": _requests(allocation, names)},
            "workers": _workers(overview),
        }

    def _troubles(self) -> Troubles:
        """Return what campaigns say of hosts, by host."""
        found: dict[str, list[dict[str, str]]] = {}
        for name in self.backend.busy_campaigns():
            for trouble in Health.from_data(self.backend.campaign(name).quarantine()).troubles():
                told = {"campaign": name, "text": trouble.text}
                found.setdefault(trouble.host, []).append(told)
        found.pop("", None)  # points at fault are on the pages of their campaigns
        return found

    def _pools(
        self, allocation: Allocation, names: Mapping[str, str], troubles: Troubles
    ) -> Iterator[dict[str, Any]]:
        """Yield each pool with its hosts; then hosts of pools that only runs describe."""
        known: set[str] = set()
        for name, raw in self.backend.pools.all_installed().items():
            hosts: dict[str, Labels] = {}
            problem = ""
            try:
                pool = Pool.load(guid=0, label=name, attributes=raw)
                hosts = {entry.key: entry.labels for entry in pool.entries()}
            except NepiqError as error:  # another version may have kept it
                problem = escaped(str(error))
            known |= hosts.keys()
            listed = list(_hosts(hosts, allocation, names, troubles))
            yield {"name": escaped(name), "problem": problem, "hosts": listed}
        if others := sorted((allocation.leases.keys() | troubles.keys()) - known):
            listed = list(_hosts({key: {} for key in others}, allocation, names, troubles))
            yield {"name": "", "problem": "", "hosts": listed}


def _hosts(
    hosts: Mapping[str, Labels],
    allocation: Allocation,
    names: Mapping[str, str],
    troubles: Troubles,
) -> Iterator[dict[str, Any]]:
    for key, labels in hosts.items():
        lease = allocation.leases.get(key)
        yield {
            "host": escaped(key),
            "labels": {escaped(n): safe(v) for n, v in labels.items() if n != "hostname"},
            "lease": lease
            and {**_run(lease.run_id, names), "guid": lease.guid, "since": lease.since},
            "troubles": troubles.get(key, ()),
        }


def _requests(allocation: Allocation, names: Mapping[str, str]) -> list[dict[str, Any]]:
    people = {run: f"{run} ({name})" for run, name in names.items()}
    return [
        {
            **_run(request.run_id, names),
            "guids": sorted(guid for want in request.wants for guid in want.guids),
            "text": escaped(leases.describe(allocation, request, people)),
        }
        for request in allocation.queue
    ]


def _run(run_id: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a run for the page, and whether its records exist."""
    return {"run": run_id, "name": names.get(run_id, ""), "kept": run_id in names}


def _workers(overview: Overview) -> dict[str, Any]:
    facts = overview.redis
    return {
        "workers": [
            {
                "name": escaped(worker.name),
                "machine": escaped(worker.machine),
                "sites": sorted({queues.site_of(queue) for queue in worker.queues} - {""}),
                "running": worker.running,
                "slots": worker.slots,
                "beat": round(overview.at - worker.seen, 1),
                "state": _state(worker),
                "version": escaped(worker.version),
            }
            for worker in overview.workers
        ],
        "queues": [
            {"name": escaped(name), "waiting": depth, "served": _served(name, overview.workers)}
            for name, depth in overview.queues.items()
        ],
        "redis": {**asdict(facts), "full": facts.full},
    }


def _served(queue: str, workers: Iterable[WorkerInfo]) -> int:
    """Return how many workers serve a queue."""
    return sum(worker.alive and queue in worker.queues for worker in workers)


def _state(worker: WorkerInfo) -> str:
    """Return the state of a worker as a word."""
    if not worker.alive:
        return "silent"
    return "draining" if worker.draining else "paused" if worker.paused else "alive"
