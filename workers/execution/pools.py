"""Pools of hosts, as one step of one resource uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...controller.engine.pools import PoolStore, Wake
from ...controller.engine.run import Run
from ...controller.engine.store import keys
from ...controller.engine.store.calls import Claim
from ...controller.errors import Cancelled, HostError, NepiqError
from ...controller.model.durations import Deadline
from ...controller.model.facts import Facts
from ...controller.model.pools import Granted, Queued, Want
from ...controller.model.resource import ResourceManager
from ..hosts import Attempt, ShellHost
from ..runtime.context import Runtime

_LOOKS = 16
"""Hosts that are looked at in parallel."""


class WorkerPools:
    """The :class:`~nepiq.controller.model.pools.Pools` of a step that this worker executes.

    Args:
        runtime: of this worker.
        run: the run of the step.
        claim: the step.
        deadline: when the step must have ended.
    """

    def __init__(self, runtime: Runtime, run: Run, claim: Claim, deadline: Deadline) -> None:
        self._runtime = runtime
        self._run = run
        self._claim = claim
        self._deadline = deadline
        self._store = PoolStore(runtime.redis)

    def installed(self, name: str) -> Mapping[str, Any] | None:
        """Return a pool that is kept in the installation."""
        return self._store.installed(name)

    def facts(self, hosts: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return what is known of hosts."""
        return self._store.facts(hosts)

    def learn(self, host: str, facts: Mapping[str, Any]) -> None:
        """Keep facts of a host."""
        self._store.learn(host, facts)

    def inspect(self, hosts: Mapping[str, ResourceManager]) -> dict[str, Facts | NepiqError]:
        """Log in to hosts in parallel and return their facts, or why that failed."""
        with ThreadPoolExecutor(_LOOKS, "nepiq-pools") as executor:
            return dict(zip(hosts, executor.map(self._look, hosts.values()), strict=True))

    def _look(self, node: ResourceManager) -> Facts | NepiqError:
        claim = self._claim
        try:
            host = ShellHost(
                Attempt(
                    self._runtime.sessions.session(node),
                    run_id=self._run.run_id,
                    exp_id=self._run.exp_id,
                    node=claim.guid,
                    guid=claim.guid,
                    occasion=claim.occ,
                    token=claim.token,
                    deadline=self._deadline.sooner(60.0),
                    where=node.label,
                )
            )
            return host.facts
        except HostError as error:
            return error

    def lease(self, wants: Sequence[Want]) -> Granted | Queued:
        """Request hosts for this resource and those that it represents."""
        claim = self._claim
        status, seconds, leases, wakes = self._store.request(
            self._run.run_id, claim.guid, claim.step, wants
        )
        wake(self._runtime, wakes)
        if status == "CLOSED":
            raise Cancelled("its hosts have been given back", where=claim.label)
        return Granted(leases, seconds) if status == "OK" else Queued(seconds)

    def give_back(self, request: int | None = None, guid: int | None = None) -> None:
        """Give hosts back, and wake the steps that are granted these."""
        number = self._claim.guid if request is None else request
        wake(self._runtime, self._store.give_back(self._run.run_id, number, guid))


def wake(runtime: Runtime, wakes: Iterable[Wake]) -> None:
    """Wake steps whose hosts were granted; the sweeper repeats what is lost.

    Runs of other brokers have their own sweeper, which dispatches the steps.
    """
    active = keys.active(runtime.settings.broker_name)
    for run_id, step in wakes:
        run = runtime.run(run_id)
        if runtime.redis.sismember(active, run_id):
            run.wake(step)
        else:
            run.store.wake(step)
