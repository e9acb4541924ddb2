"""One storm: the experiment is carried out while faults come at the times that a seed says."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import network_kinds  # noqa: F401 - the types must be known here too
from tests.stand import until
from tests.testbed import Testbed

from nepiq.controller import ExperimentController, RedisUnreachable, WaitTimeout
from nepiq.controller.engine.pools import PoolStore
from nepiq.controller.reports.failures import Failure

from . import experiment, kinds, networks  # noqa: F401 - the types must be known here too
from .faults import Damage, Fault, Weather
from .forecast import Forecast
from .hosts import make_small
from .site import HOSTS, MEMORY, WORKERS, Site

MACHINES = HOSTS + 1 + WORKERS
_PATIENCE = 240.0
_MESSAGES = 3.0


@dataclass
class Outcome:
    """How a storm went.

    Attributes:
        seed: what it was drawn from.
        seconds: from the deployment to the end of the last application.
        faults: what was done when.
        problems: what did not hold; empty if all is well.
        deaths: how many workers died.
        messages: messages per step.
        failed: applications that did not end well, as is allowed after such faults.
        memory: the most that a worker had in memory, in MB.
    """

    seed: int
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    deaths: int = 0
    messages: float = 0.0
    failed: int = 0
    memory: int = 0


def storm(seed: int, bed: Testbed, folder: Path, *, more: bool = True) -> Outcome:
    """Carry one out.

    Args:
        seed: says which faults come when, and what they hit.
        bed: the machines, fresh.
        folder: where logs go.
        more: with what was added to the first faults; see :class:`Forecast`.
    """
    rng = random.Random(seed)
    forecast = Forecast.drawn(seed, rng, HOSTS, more=more)
    outcome = Outcome(seed, faults=forecast.conditions)
    with Site(folder, bed, forecast.skew) as site:
        ec = ExperimentController(f"storm-{seed}", settings=site.settings, quiet=True)
        small = site.hosts[forecast.small] if forecast.small >= 0 else None
        if small is not None:
            make_small(small)
        before = networks.scan({host.name: host for host in site.hosts})
        described = experiment.describe(ec, list(site.hosts), rng, forecast, folder)
        weather = Weather(site, rng, Damage(), ec.run_id, small, threading.Event())
        try:
            _carry_out(ec, described, weather, forecast.faults, outcome)
            _judge(ec, described, weather, outcome)
            _judge_networks(described, weather, before, ec.failures)
        except (AssertionError, WaitTimeout) as error:
            outcome.problems.append(f"{type(error).__name__}: {str(error)[:2000]}")
        finally:
            outcome.deaths = sum(worker.deaths for worker in site.workers)
            outcome.faults += weather.damage.told
            outcome.problems += weather.damage.broken
            outcome.memory = max(worker.memory for worker in site.workers)
            if outcome.memory > MEMORY:
                outcome.problems.append(f"{outcome.memory} MB in memory of a worker")
            ec.close()
    return outcome


def _carry_out(
    ec: ExperimentController,
    described: experiment.Described,
    weather: Weather,
    faults: Iterable[tuple[float, Fault]],
    outcome: Outcome,
) -> None:
    """Deploy, let the faults come, wait for the end, and release."""
    began = time.monotonic()
    ec.deploy([guid for guid in ec.resources if guid not in described.later])
    ec.deploy(described.later)
    threads = [_later(weather, began + at, fault) for at, fault in faults]
    try:
        poison = [described.poison] if described.poison else []
        _until_ended(ec, [*described.apps, *described.pauses, *poison])
        outcome.seconds = time.monotonic() - began
    finally:
        weather.over.set()
        for thread in threads:
            thread.join()
    _release(ec)


def _judge(
    ec: ExperimentController,
    described: experiment.Described,
    weather: Weather,
    outcome: Outcome,
) -> None:
    """Look at what came of it."""
    site = weather.site
    run = site.backend().run(ec.run_id)
    hosts = {host.name: host for host in site.hosts}
    failures = ec.failures
    # What answered oddly for too long has FAILED as a host, which says that things may be left.
    given_up = _given_up(described, weather, failures)
    until(lambda: not _left(site, ec.run_id, given_up), 30.0, "something is left on hosts")
    pools = PoolStore(run.store.redis)
    until(lambda: not pools.allocation().leases, 15.0, "leases were left")
    outcome.problems += experiment.problems(run, described, hosts, weather.damage)
    for name in hosts.keys() - weather.damage.odd:
        outcome.problems += experiment.half_done(hosts[name])
    count, steps = experiment.messages(site, run)
    outcome.messages = count / max(1, steps)
    if outcome.messages > _MESSAGES:
        outcome.problems.append(f"{outcome.messages:.2f} messages per step")
    names = {**described.apps, **described.servers, **described.networks}
    odd = weather.damage.rebooted | weather.damage.odd
    outcome.problems += [
        f"a release failed: {failure}"
        for failure in failures
        if failure.released and names.get(failure.guid) not in odd
    ]
    outcome.failed = len(failures)


def _given_up(
    described: experiment.Described, weather: Weather, failures: Iterable[Failure]
) -> set[str]:
    failed = {failure.guid for failure in failures if not failure.released}
    return {name for name in weather.damage.odd if described.nodes[name] in failed}


def _judge_networks(
    described: experiment.Described,
    weather: Weather,
    before: networks.Scans,
    failures: Iterable[Failure],
) -> None:
    given_up = _given_up(described, weather, failures)
    hosts = {host.name: host for host in weather.site.hosts if host.name not in given_up}
    found: list[str] = []

    def same() -> bool:
        found[:] = networks.left(before, hosts)
        return not found

    try:
        until(same, 30.0, "networks of hosts are not as before")
    except AssertionError as error:
        raise AssertionError(f"{error}: {found}") from None


def _later(weather: Weather, at: float, fault: Fault) -> threading.Thread:
    """Let a fault come at its time."""
    began = at

    def act() -> None:
        if weather.over.wait(max(0.0, at - time.monotonic())):
            return
        try:
            told = fault(weather)
        except Exception as error:  # noqa: BLE001 - a fault that fails must be seen
            weather.damage.broken.append(f"{fault.__name__}: {type(error).__name__}: {error}")
            return
        if told:
            weather.damage.told.append(told)

    thread = threading.Thread(target=act, name=f"fault-{fault.__name__}-{began:.0f}")
    thread.start()
    return thread


def _until_ended(ec: ExperimentController, guids: list[int]) -> None:
    """Wait as a user would who knows that Redis may be away for longer than a wait bears it."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            ec.wait_finished(guids, timeout=max(1.0, end - time.monotonic()))
        except RedisUnreachable:
            if time.monotonic() > end:
                raise AssertionError("Redis stayed away") from None
        else:
            return


def _release(ec: ExperimentController) -> None:
    for _ in range(3):
        try:
            ec.release()
        except RedisUnreachable:
            continue
        return
    raise AssertionError("Redis stayed away")


def _left(site: Site, run_id: str, given_up: set[str]) -> list[str]:
    """Return the hosts, but for those given up, that still have processes of the run."""
    return [
        f"{host.name}: {len(pids)} processes"
        for host in site.hosts
        if host.name not in given_up and (pids := host.bearers(f"{run_id}."))
    ]
