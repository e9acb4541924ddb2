"""The experiment that storms go over, and what must hold of it afterwards."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.testbed import Host

from nepiq.controller import ExperimentController
from nepiq.controller.engine import Run

from .faults import Damage
from .forecast import Forecast
from .site import Site

APPLICATIONS = 300
LAYERS = 12
#: Times of a host and of Redis are put together by ages, which a busy machine reads late.
SLACK = 0.3
_EFFECTS = "effects"
#: What some applications do to their own run directory.
_ASTRAY = ('rm -rf "$PWD"; cd /', 'mv "$PWD" "$HOME/moved-$$"', 'rm -rf "$PWD"/.* "$PWD"/*')
#: What a step fails of that loses its worker again and again; see docs/guarantees.md.
LOST_WORKERS = ("lost", "not done within")


@dataclass
class Described:
    """The parts of the experiment.

    Attributes:
        nodes: guid by name of the host.
        apps: guids of applications that end, by guid the name of their host.
        servers: guids of those that only the release ends.
        poison: guid of what kills its workers; 0 if there is none.
        astray: guids of those that remove or move their own run directory.
        waits: conditions ``(guid, target, milestone, offset)`` of starts.
    """

    nodes: dict[str, int] = field(default_factory=dict)
    apps: dict[int, str] = field(default_factory=dict)
    servers: dict[int, str] = field(default_factory=dict)
    poison: int = 0
    astray: set[int] = field(default_factory=set)
    waits: list[tuple[int, int, str, float]] = field(default_factory=list)


def describe(
    ec: ExperimentController, hosts: list[Host], rng: random.Random, forecast: Forecast
) -> Described:
    """Register the experiment."""
    made = Described()
    astray = random.Random(forecast.astray)
    names = ",".join(host.name for host in hosts)
    if forecast.pooled:
        ec.register_resource("linux::Pool", label="hosts", hosts=names, critical=False)
    for host in hosts:
        host.run(f"mkdir -p {_EFFECTS}")
        where: dict[str, Any] = {"hostname": host.name}
        how = {"pool": "hosts", "where": where} if forecast.pooled else where
        made.nodes[host.name] = ec.register_resource(
            "linux::Node", label=host.name, critical=False, **how
        )
    layers: list[list[int]] = [[] for _ in range(LAYERS)]
    for number in range(APPLICATIONS):
        host = hosts[number % len(hosts)]
        layer = number * LAYERS // APPLICATIONS
        serves = layer < LAYERS // 2 and rng.random() < 0.03
        nap = 10_000 if serves else rng.choice([0, 0, 0.2, 0.5, 1, 2])
        stopped = not serves and rng.random() < 0.08
        label = f"app-{number}"
        leaves = bool(forecast.astray) and not stopped and astray.random() < 0.05
        first = f"{astray.choice(_ASTRAY)}; " if leaves else ""
        guid = ec.register_resource(
            "linux::Application",
            label=label,
            command=f"echo x >>$HOME/{_EFFECTS}/{label}; {first}"
            f"exec sleep {10_000 if stopped else nap}",
            connectedTo=made.nodes[host.name],
            critical=False,
        )
        (made.servers if serves else made.apps)[guid] = host.name
        if leaves:
            made.astray.add(guid)
        if stopped:
            ec.register_condition(guid, "STOP", guid, "STARTED", "300ms")
        if layer:
            for target in rng.sample(layers[layer - 1], rng.choice([1, 1, 2])):
                milestone = "STARTED" if target in made.servers else "FINISHED"
                offset = rng.choice([0.0, 0.1, 0.5])
                ec.register_condition(guid, "START", target, milestone, offset)
                made.waits.append((guid, target, milestone, offset))
        layers[layer].append(guid)
    if forecast.poisoned:
        made.poison = ec.register_resource("storm::Poison", label="poison", critical=False)
    return made


def problems(
    run: Run, described: Described, hosts: dict[str, Host], damage: Damage
) -> Iterator[str]:
    """What does not hold of a run that has been released."""
    records = {record.guid: record for record in run.records()}
    events = run.events()
    entered: dict[int, Counter[str]] = {}
    effects = {name: _effects(host) for name, host in hosts.items()}
    while events:
        for event in events:
            entered.setdefault(event.guid, Counter())[event.what] += 1
        events = run.events(events[-1].id)
    for guid, name in {**described.apps, **described.servers}.items():
        record = records[guid]
        count = effects[name].get(record.label, 0)
        excused = name in damage.rebooted or f"{run.run_id}.{guid}" in damage.orphaned
        # These may fail, and say why.
        odd = name in damage.odd or guid in described.astray
        ended = entered.get(guid, Counter())
        if record.state != "RELEASED":
            yield f"{record.label} is {record.state}"
        if guid in described.apps and not (ended["FINISHED"] or ended["STOPPED"]):
            why = str((record.error or {}).get("message", ""))
            if not (excused or _lost(why) or (odd and why)):
                yield f"{record.label} did not end: {dict(ended)} {why}"
            excused = True
        if count > 1 or (count == 0 and not (excused or name in damage.odd)):
            yield f"{record.label} on {name} had its effect {count} times"
    if described.poison:
        why = str((records[described.poison].error or {}).get("message", ""))
        if not _lost(why):
            yield f"poison: {why or 'no error'}"
    yield from _order(run, described)


def _lost(why: str) -> bool:
    return any(text in why for text in LOST_WORKERS)


def _effects(host: Host) -> dict[str, int]:
    folder = host.root / "lab" / _EFFECTS
    return {path.name: path.read_text().count("x") for path in folder.iterdir()}


def _order(run: Run, described: Described) -> Iterator[str]:
    records = {record.guid: record for record in run.records()}
    for guid, target, milestone, offset in described.waits:
        one, two = records[guid].milestones, records[target].milestones
        started, reached = one.get("STARTED"), two.get(milestone)
        # A release or a failure stands for all that did not come; see docs/engine.md.
        stand_in = (one.get("RELEASED"), one.get("FAILED"))
        if started is None or reached is None or started in stand_in:
            continue
        if started < reached + offset - SLACK:
            early = reached + offset - started
            yield f"{records[guid].label} {early:.3f} s before {records[target].label} {milestone}"


def messages(site: Site, run: Run) -> tuple[int, int]:
    """How many messages the workers got for a run, and how many steps it had."""
    mark = f"[{run.run_id}/"
    logs = [worker.log.read_text(errors="replace") for worker in site.workers]
    count = sum(
        mark in line and line.endswith("] received") for text in logs for line in text.splitlines()
    )
    redis, keys = run.store.redis, run.store.keys
    names = [raw.decode() for raw in redis.hkeys(keys.of("step"))]
    return count, sum(step.tries > 0 for step in run.store._steps(names))
