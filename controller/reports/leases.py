"""Explanations of which runs have the hosts of pools, and of what requests for hosts wait for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .words import duration, plural, some

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.pools import Allocation, RequestRecord

_SHOWN = 6


def waiting(run: Run, guid: int) -> str:
    """Return what the request for hosts of a resource waits for; empty if it waits for none."""
    from ..engine.pools import PoolStore, request_id

    allocation = PoolStore(run.store.redis).allocation()
    name = request_id(run.run_id, guid)
    request = next((item for item in allocation.queue if item.id == name), None)
    if request is None:
        return ""
    return describe(allocation, request, names_of(run.store.redis, allocation))


def names_of(redis: Any, allocation: Allocation) -> dict[str, str]:
    """Return the names for people of runs that have or wait for hosts: id and experiment.

    Args:
        redis: the client of the state.
        allocation: the runs.
    """
    from ..engine.store import RunStore

    names = {
        item.run_id: f"{item.run_id} (campaign {item.campaign})"
        for item in allocation.queue
        if item.campaign
    }
    runs = {item.run_id for item in allocation.queue}
    runs |= {lease.run_id for lease in allocation.leases.values()}
    for run_id in runs - names.keys():
        meta = RunStore(redis, run_id).meta()
        names[run_id] = run_id if meta is None else f"{run_id} ({meta.exp_id})"
    return names


def describe(allocation: Allocation, request: RequestRecord, names: Mapping[str, str]) -> str:
    """Return what a waiting request waits for, and behind which others.

    Args:
        allocation: all leases and waiting requests.
        request: one of the latter.
        names: names of runs for people.

    Returns:
        For example ``2 hosts of a pool since 12 s: 1 of 4 that it can use is free, run 2026...
        (exp) has host-1:22, host-2:22; first in the queue``.
    """
    usable = request.hosts()
    busy: dict[str, list[str]] = {}
    for host in sorted(usable & allocation.leases.keys()):
        busy.setdefault(allocation.leases[host].run_id, []).append(host)
    free = len(usable) - sum(map(len, busy.values()))
    parts = [f"{free} of {len(usable)} that it can use are free"]
    parts += [
        f"run {names.get(run_id, run_id)} has {some(hosts)}"
        for run_id, hosts in list(busy.items())[:_SHOWN]
    ]
    waited = duration(max(0.0, allocation.at - request.since))
    return (
        f"{plural(request.count, 'host')} of a pool, for {waited}: {', '.join(parts)}; "
        f"{_place(allocation, request, names)}"
    )


def _place(allocation: Allocation, request: RequestRecord, names: Mapping[str, str]) -> str:
    ids = [item.id for item in allocation.queue]
    ahead = [
        item for item in allocation.queue[: ids.index(request.id)] if item.hosts() & request.hosts()
    ]
    kept = "; free hosts are kept for it" if request.kept else ""
    if not ahead:
        return f"first in the queue{kept}"
    before = [
        f"run {names.get(item.run_id, item.run_id)}, which waits for {plural(item.count, 'host')}"
        for item in ahead
    ]
    return f"behind {some(before)}{kept}"
