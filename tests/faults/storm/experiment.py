"""The experiment that storms go over, and what must hold of it afterwards."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.testbed import Host

from nepiq.controller import ExperimentController
from nepiq.controller.engine import Run
from nepiq.controller.engine.store.records import ResourceRecord

from . import networks
from .faults import Damage
from .forecast import Forecast
from .site import Site

APPLICATIONS = 300
LAYERS = 12
#: Times of a host and of Redis are put together by ages, which a busy machine reads late.
SLACK = 0.3
_EFFECTS = "effects"
#: Some applications bring a file of so many bytes, and have what is built of it.
_CONTENT = 300_000
_BUILD = "sleep 0.5; cp ${SHARE}/content copy"
_WHOLE = ("ready", "failed")
_COMPARE = "cmp -s copy ${SHARE}/content || exit 3"
#: What some applications do to their own run directory.
_ASTRAY = ('rm -rf "$PWD"; cd /', 'mv "$PWD" "$HOME/moved-$$"', 'rm -rf "$PWD"/.* "$PWD"/*')
#: One that is restarted has its effect in its first run only.
_TWICE = "if [ -e ran ]; then exec sleep {nap}; fi; : >ran || exit 1; {effect}; exit 1"
_PAUSES = 10
_EXACT = 0.01
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
        timed: guids of those that end by their timeout.
        pauses: by guid of what ends by itself without a host, after how long.
        waits: conditions ``(guid, target, milestone, offset)`` of starts.
        networks: guids of emulated hosts and the like, by guid the name of their host.
        later: those of them that are deployed by a call of their own.
    """

    nodes: dict[str, int] = field(default_factory=dict)
    apps: dict[int, str] = field(default_factory=dict)
    servers: dict[int, str] = field(default_factory=dict)
    poison: int = 0
    astray: set[int] = field(default_factory=set)
    timed: set[int] = field(default_factory=set)
    pauses: dict[int, float] = field(default_factory=dict)
    waits: list[tuple[int, int, str, float]] = field(default_factory=list)
    networks: dict[int, str] = field(default_factory=dict)
    later: list[int] = field(default_factory=list)


def describe(
    ec: ExperimentController,
    hosts: list[Host],
    rng: random.Random,
    forecast: Forecast,
    folder: Path,
) -> Described:
    """Register the experiment.

    Args:
        ec: takes it.
        hosts: where its applications run.
        rng: draws most of it.
        forecast: what comes over it.
        folder: for the file that some applications bring along.
    """
    made = Described()
    astray, parts = random.Random(forecast.astray), random.Random(f"parts of {ec.exp_id}")
    lives = random.Random(ec.exp_id)
    content = folder / "content"
    content.write_bytes(parts.randbytes(_CONTENT))
    made.nodes = _describe_nodes(ec, hosts, pooled=forecast.pooled)
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
        made_of: dict[str, str] = {}
        if parts.random() < 0.1:
            made_of = {"files": str(content), "build": _BUILD}
            first = f"{_COMPARE}; {first}"
        effect = f"echo x >>$HOME/{_EFFECTS}/{label}"
        command = f"{effect}; {first}exec sleep {10_000 if stopped else nap}"
        life: dict[str, str] = {}
        if not (serves or leaves or made_of):
            command, life = _draw_life(lives, command, effect, nap, stopped=stopped)
        guid = ec.register_resource(
            "linux::Application",
            label=label,
            command=command,
            connectedTo=made.nodes[host.name],
            critical=False,
            **made_of,
            **life,
        )
        if "timeout" in life:
            made.timed.add(guid)
        (made.servers if serves else made.apps)[guid] = host.name
        if leaves:
            made.astray.add(guid)
        if stopped:
            ec.register_condition(guid, "STOP", guid, "STARTED", "300ms")
        if layer:
            _wait_for(ec, rng, made, guid, layers[layer - 1])
        layers[layer].append(guid)
    _describe_pauses(ec, lives, made, layers[:3])
    made.networks, made.later = networks.describe(ec, made.nodes, [*layers[0], *layers[1]])
    if forecast.poisoned:
        made.poison = ec.register_resource("storm::Poison", label="poison", critical=False)
    return made


def _describe_nodes(ec: ExperimentController, hosts: list[Host], *, pooled: bool) -> dict[str, int]:
    """Register the hosts, as those of a pool or by their names."""
    if pooled:
        names = ",".join(host.name for host in hosts)
        ec.register_resource("linux::Pool", label="hosts", hosts=names, critical=False)
    nodes = {}
    for host in hosts:
        host.run(f"mkdir -p {_EFFECTS}")
        where: dict[str, Any] = {"hostname": host.name}
        how = {"pool": "hosts", "where": where} if pooled else where
        nodes[host.name] = ec.register_resource(
            "linux::Node", label=host.name, critical=False, **how
        )
    return nodes


def _wait_for(
    ec: ExperimentController, rng: random.Random, made: Described, guid: int, layer: list[int]
) -> None:
    """Let one start after one or two of the layer before."""
    for target in rng.sample(layer, rng.choice([1, 1, 2])):
        milestone = "STARTED" if target in made.servers else "FINISHED"
        offset = rng.choice([0.0, 0.1, 0.5])
        ec.register_condition(guid, "START", target, milestone, offset)
        made.waits.append((guid, target, milestone, offset))


def _draw_life(
    rng: random.Random, command: str, effect: str, nap: float, *, stopped: bool
) -> tuple[str, dict[str, str]]:
    """One in ten is restarted once, one in ten ends by its timeout; half of stops are by INT."""
    drawn = rng.random()
    if stopped:
        # TERM would take the whole grace, and KILL, to end it.
        return (f"trap '' TERM; {command}", {"stopSignal": "INT"}) if drawn < 0.5 else (command, {})
    if drawn < 0.1:
        return _TWICE.format(nap=nap, effect=effect), {"restart": "on-failure"}
    if drawn < 0.2:
        return f"{effect}; exec sleep 10000", {"timeout": "1s"}
    return command, {}


def _describe_pauses(
    ec: ExperimentController, rng: random.Random, made: Described, layers: list[list[int]]
) -> None:
    """Add resources that end by themselves, at a time that the workers keep."""
    for number in range(_PAUSES):
        seconds = (0.5, 2.0, 5.0)[number % 3]
        guid = ec.register_resource(
            "nepiq::Sleep", label=f"pause-{number}", duration=seconds, critical=False
        )
        ec.register_condition(guid, "START", rng.choice(rng.choice(layers)), "STARTED")
        made.pauses[guid] = seconds


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
            over = guid in described.timed and "its timeout has passed" in why
            if not (excused or over or _lost(why) or (odd and why)):
                host = records[record.host or guid]
                cause = (host.error or {}).get("message", "") if host is not record else ""
                yield f"{record.label} did not end: {dict(ended)} {why} {cause}".rstrip()
            excused = True
        if count > 1 or (count == 0 and not (excused or name in damage.odd)):
            yield f"{record.label} on {name} had its effect {count} times"
    yield from _inexact(records, described)
    if described.poison:
        why = str((records[described.poison].error or {}).get("message", ""))
        if not _lost(why):
            yield f"poison: {why or 'no error'}"
    yield from _order(run, described)


def half_done(host: Host) -> Iterator[str]:
    """What the caches of a host have that is not whole."""
    usr = host.root / "lab/.nepiq/.usr"
    builds = [path for path in usr.glob("build/*") if path.is_dir()]
    halves = [path for path in builds if not any((path / one).exists() for one in _WHOLE)]
    yield from (f"{host.name} has half of {path}" for path in [*usr.glob("part/*"), *halves])


def _inexact(records: Mapping[int, ResourceRecord], described: Described) -> Iterator[str]:
    for guid, seconds in described.pauses.items():
        reached = records[guid].milestones
        lasted = reached.get("FINISHED", 0.0) - reached.get("STARTED", 0.0)
        why = str((records[guid].error or {}).get("message", ""))
        if abs(lasted - seconds) > _EXACT and not _lost(why):
            yield f"{records[guid].label} lasted {lasted:.3f} s instead of {seconds:g}: {why}"


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
