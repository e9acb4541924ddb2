"""Pools of hosts, as steps of resources and of campaigns use them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...controller.engine.pools import PoolStore, Wake
from ...controller.engine.redis_errors import contact
from ...controller.engine.run import Run
from ...controller.engine.store import keys
from ...controller.engine.store.calls import Claim
from ...controller.errors import Cancelled, HostError, NepiqError, NotAllowed
from ...controller.model.durations import Deadline
from ...controller.model.facts import Facts
from ...controller.model.pools import Granted, Queued, Want
from ...controller.model.resource import ResourceManager
from ..hosts import Attempt, ShellHost
from ..runtime.context import Runtime

log = logging.getLogger("nepiq.pools")

_LOOKS = 16
"""Hosts that are looked at in parallel."""

_OF_NO_RUN = "looking"

_LOOK = 60.0
"""Seconds that a look at a host may take."""


class ReadPools:
    """The :class:`~nepiq.controller.model.pools.Pools` of a worker that requests no lease by them.

    Args:
        runtime: of this worker.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._store = PoolStore(runtime.redis)

    @contact()
    def installed(self, name: str) -> Mapping[str, Any] | None:
        """Return a pool that is kept in the installation."""
        return self._store.installed(name)

    @contact()
    def facts(self, hosts: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return what is known of hosts."""
        return self._store.facts(hosts)

    @contact()
    def learn(self, host: str, facts: Mapping[str, Any]) -> None:
        """Keep facts of a host."""
        self._store.learn(host, facts)

    def inspect(self, hosts: Mapping[str, ResourceManager]) -> dict[str, Facts | NepiqError]:
        """Log in to hosts in parallel and return their facts, or why that failed."""
        with ThreadPoolExecutor(_LOOKS, "nepiq-pools") as executor:
            return dict(zip(hosts, executor.map(self._look, hosts.values()), strict=True))

    @contact()
    def lease(self, wants: Sequence[Want]) -> Granted | Queued:
        """Refuse to request hosts."""
        raise NotAllowed("hosts are requested by the steps of resources only")

    @contact()
    def give_back(self, request: int | None = None, guid: int | None = None) -> None:
        """Refuse to give hosts back."""
        raise NotAllowed("hosts are given back by the steps of resources only")

    def _look(self, node: ResourceManager) -> Facts | NepiqError:
        try:
            host = ShellHost(
                Attempt(
                    self._runtime.sessions.session(node),
                    run_id=_OF_NO_RUN,
                    exp_id=_OF_NO_RUN,
                    node=node.guid,
                    guid=node.guid,
                    occasion=1,
                    token=1,
                    deadline=self._deadline(),
                    where=node.label,
                )
            )
            return host.facts
        except HostError as error:
            log.warning("host %s cannot be looked at: %s", node.label, error)
            return error

    def _deadline(self) -> Deadline:
        return Deadline.after(_LOOK)


class WorkerPools(ReadPools):
    """The :class:`~nepiq.controller.model.pools.Pools` of a step that this worker executes.

    Args:
        runtime: of this worker.
        run: the run of the step.
        claim: the step.
        deadline: when the step must have ended.
    """

    def __init__(self, runtime: Runtime, run: Run, claim: Claim, deadline: Deadline) -> None:
        super().__init__(runtime)
        self._run = run
        self._claim = claim
        self._limit = deadline

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

    def _deadline(self) -> Deadline:
        return self._limit.sooner(_LOOK)


def wake(runtime: Runtime, wakes: Iterable[Wake]) -> None:
    """Wake steps whose hosts were granted; the sweeper repeats what is lost.

    Runs and campaigns of other brokers have their own sweeper, which dispatches the steps.
    """
    active = keys.active(runtime.settings.broker_name)
    campaigns = keys.campaigns(runtime.settings.broker_name)
    for run_id, step, campaign in wakes:
        if campaign:
            if runtime.redis.sismember(campaigns, campaign):
                runtime.backend.publisher.advance(campaign)
            continue
        run = runtime.run(run_id)
        if runtime.redis.sismember(active, run_id):
            run.wake(step)
        else:
            run.store.wake(step)
