"""What really happened, and whether it was right.

The records say what the engine believes. This module keeps what hosts and hooks truly did, and
judges both: no step before its gates, no effect twice, nothing forgotten, nothing left behind.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from nepiq.controller.engine.store.calls import Claim
from nepiq.controller.engine.store.wire import encode_gate
from nepiq.controller.model.spec import Gate

from .records import Hash
from .scenario import Move

if TYPE_CHECKING:
    from .hooks import Attempt
    from .workers import Worker
    from .world import World

#: A claim may be early by 2 ms; the rest is rounding.
_EPSILON = 0.0025
_PUNCTUAL = 0.5
#: Trouble in which no worker is lost, however long Redis stands still.
_HARMLESS = {"outage", "skew", "duplicate", "loss", "slow", "abort", "client"}


class Violation(NamedTuple):
    """Something that must not happen."""

    what: str
    where: str


class Truth:
    """The observer of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.violations: list[Violation] = []
        self.reached: dict[tuple[int, str], float] = {}
        self.recorded: set[tuple[int, str]] = set()
        self.launches: Counter[tuple[int, int]] = Counter()
        self.stopped: set[tuple[int, int]] = set()
        self.late: list[tuple[int, Gate]] = []
        self.delays: list[tuple[float, str]] = []
        self.launching: Claim | None = None
        self.done: float | None = None
        self.resurrected = False
        self._running: list[tuple[Worker, Attempt]] = []

    def wrong(self, what: str, where: object) -> None:
        """Note a violation."""
        self.violations.append(Violation(what, str(where)))

    # -- the records' history -------------------------------------------------------------------

    def observe(self, events: list[Hash]) -> None:
        """Look at what a script added to the history."""
        for event in events:
            self.recorded.add((int(event["g"]), event["e"]))
            if event["e"] == "lost":
                self._check_loss(event)
            elif event["e"] == "claim" and event["s"].endswith(".start"):
                due = float(self.world.model.step(event["s"]).get("due", event["t"]))
                self.delays.append((float(event["t"]) - due, event["s"]))

    def forget(self) -> None:
        """Redis came back younger: a late condition may be among what it forgot."""
        self.late.clear()
        if self.done is not None:
            self.resurrected = True

    def _check_loss(self, event: Hash) -> None:
        """A claim may only be taken from who is dead, paused, or knows that its lease is over."""
        now = self.world.kernel.now
        if self.world.faults <= _HARMLESS:
            self.wrong("lost without a loss", event["s"])
        for worker in self.world.workers:
            if worker.name != event["w"] or not worker.alive or worker.paused > now:
                continue
            for (step, _), attempt in worker.held.items():
                if step == event["s"] and attempt.until > now and not self.world.rollbacks:
                    self.wrong("taken from a living worker", event["s"])

    # -- hooks ----------------------------------------------------------------------------------

    def begins(self, worker: Worker, attempt: Attempt) -> None:
        """A hook begins: no other hook of that RM may run in a worker that can act."""
        now = self.world.kernel.now
        if attempt.until < now:
            return  # It was paused since it looked, and will be stopped at its first command.
        for other, running in self._running:
            acts = other.alive and other.paused <= now and running.until > now and not running.told
            same = running.claim.guid == attempt.claim.guid
            if acts and same and not self.world.rollbacks:
                self.wrong("two hooks at once", f"{running.claim.step} {attempt.claim.step}")
        self._running.append((worker, attempt))

    def ends(self, worker: Worker, attempt: Attempt) -> None:
        """A hook has ended, or its worker has."""
        self._running = [pair for pair in self._running if pair[1] is not attempt]

    def acts(self, claim: Claim) -> None:
        """A hook is about to take effect."""
        self._check_gates(claim)

    def ready(self, guid: int) -> None:
        """An RM is truly ready."""
        self.reached.setdefault((guid, "READY"), self.world.kernel.now)

    def started(self, guid: int) -> None:
        """An RM has truly started."""
        self.reached.setdefault((guid, "STARTED"), self.world.kernel.now)

    def launched(self, guid: int, occ: int) -> None:
        """A host executed a command."""
        self.launches[guid, occ] += 1
        if self.launches[guid, occ] > 1:
            self.wrong("effect twice", (guid, occ))
        if self.done is not None and not self.world.rollbacks:
            self.wrong("launched after release", guid)
        if self.launching is not None:
            self._check_gates(self.launching)
        self.started(guid)

    def finishes(self, claim: Claim) -> None:
        """What lasts for a time ends; it may not before that time is over.

        It has ended at that moment, however late the worker is that says so.
        """
        started = self.reached.get((claim.guid, "STARTED"), self.world.kernel.now)
        lasts = self.world.scenario.resources[claim.guid].lasts
        if self.world.kernel.now < started + lasts - _EPSILON:
            self.wrong("ended too early", claim.step)
        self.ended(claim.guid, started + lasts)

    def ended(self, guid: int, moment: float | None = None) -> None:
        """A process has truly ended, by default now."""
        moment = self.world.kernel.now if moment is None else moment
        for milestone in ("STOPPED", "FINISHED"):
            self.reached.setdefault((guid, milestone), moment)

    # -- gates ------------------------------------------------------------------------------------

    def _check_gates(self, claim: Claim) -> None:
        guid, action = claim.guid, claim.action
        if claim.step.count(".") == 2:
            return  # Requested: it does not wait for conditions.
        conditions = list(self.world.scenario.resources[guid].spec.gates)
        conditions += [condition for whose, condition in self.late if whose == guid]
        if action == "start":
            conditions.append(Gate("start", guid, "READY"))
            self._check_barrier(guid)
        if action == "stop":
            conditions.append(Gate("stop", guid, "STARTED"))
        for condition in conditions:
            if condition.action == action and not self._met(condition):
                self.wrong("ran before its gate", f"{claim.step} {encode_gate(condition)}")

    def _met(self, condition: Gate) -> bool:
        target = condition.target
        if (target, "FAILED") in self.recorded or (target, "RELEASED") in self.recorded:
            return True
        reached = self.reached.get((target, condition.milestone))
        return reached is not None and (
            self.world.kernel.now >= reached + condition.offset - _EPSILON
        )

    def _check_barrier(self, guid: int) -> None:
        scenario = self.world.scenario
        if not scenario.barrier or guid not in scenario.first:
            return
        for other in scenario.first:
            if not self._met(Gate("start", other, "READY")):
                self.wrong("barrier broken", f"{guid} before {other}")


# -- the verdict ------------------------------------------------------------------------------


def judge(world: World) -> list[Violation]:
    """What was wrong in a run that is over."""
    truth = world.truth
    if truth.done is None:
        truth.wrong("never ends", _unfinished(world))
        return truth.violations
    if truth.resurrected:
        # Redis forgot the release after its client had gone: the guarantee that is not given.
        return truth.violations
    _judge_records(world)
    _judge_hosts(world)
    _judge_failures(world)
    _judge_sets(world)
    _judge_effort(world)
    return truth.violations


def _unfinished(world: World) -> str:
    model = world.model
    live = {
        key: (record["status"], record.get("left"))
        for key, record in model.hashes.items()
        if key.startswith("step:") and record.get("status") in ("waiting", "due", "claimed")
    }
    states = {guid: model.rm(guid).get("state") for guid in model.list_at("rms")}
    return f"{model.meta.get('phase')} {live} {states} todo {model.todo[:5]}"


def _judge_records(world: World) -> None:
    model, truth = world.model, world.truth
    for key, record in model.hashes.items():
        if key.startswith("step:") and record and record["status"] not in ("done", "void"):
            truth.wrong("step not ended", key)
        if key.startswith("rm:") and ("running" in record or "parked" in record):
            truth.wrong("still occupied", key)
    for key in ("todo", "alarm", "watch"):
        if model.dump().get(key):
            truth.wrong("not empty", key)
    for key, members in model.sets.items():
        if key.startswith("busy:") and members:
            truth.wrong("not empty", key)


def _judge_hosts(world: World) -> None:
    truth = world.truth
    bound = world.model.meta.get("bind.default")
    for (node, where), machine in world.machines.items():
        # A Redis that came back younger may have forgotten the machine of the local nodes.
        forgotten = where and where != bound and world.rollbacks
        if where in world.gone_machines or forgotten:
            continue
        left = {guid for guid, _ in machine.node.processes.values()}
        for guid in left | set(machine.node.jobs.values()):
            truth.wrong("process left behind", (node, guid))
        for guid in machine.node.interfaces:
            # A release whose workers died four times is given up, and says so.
            left = world.scenario.resources[guid].spec.left_to_host
            steps = [f"{guid}.release", *([f"{node}.release"] if left else [])]
            if not any("worker lost" in world.model.step(s).get("error", "") for s in steps):
                truth.wrong("interface left behind", (node, guid))


def _judge_failures(world: World) -> None:
    truth, faults = world.truth, world.faults
    # What happened in a history that Redis forgot does not count.
    recorded = {(int(event["g"]), event["e"]) for event in world.model.events}
    run_failed = (0, "FAILED") in recorded
    for guid, resource in world.scenario.resources.items():
        failed = (guid, "FAILED") in recorded
        error = json.loads(world.model.rm(str(guid)).get("error", "{}")).get("message", "")
        if failed and not _excused(world, guid, error):
            truth.wrong("wrongly FAILED", f"{guid} {error}")
        occ = int(world.model.rm(str(guid)).get("occ", 1))
        if (guid, occ) in truth.stopped and error == "exit" and not faults & {"reboot", "gone"}:
            truth.wrong("stopped but FAILED", guid)
        undisturbed = not faults & {"abort", "client", "poison", "gone", "rollback", "outage"}
        ran = any(whose == guid for whose, _ in truth.launches)
        released = any(guid in _with_users(world, move.guids) for move in _releases(world))
        if resource.kind == "app" and undisturbed and not (ran or failed or run_failed or released):
            truth.wrong("forgotten", guid)


def _excused(world: World, guid: int, message: str) -> bool:
    resource, truth = world.scenario.resources[guid], world.truth
    if message.startswith("needs "):
        other = int(message.split()[1].rpartition("-")[2])
        return bool(truth.recorded & {(other, "FAILED"), (other, "RELEASED")})
    if message.startswith("worker lost"):
        return True  # Each loss was looked at when it happened.
    if message == "exit":
        return resource.code != 0 or bool(world.faults & {"reboot", "gone"})
    if message == "refused":
        return bool(world.rollbacks)
    if message.startswith("worker machine"):
        return bool(world.gone_machines)
    return resource.deploy_fails or resource.code != 0 or "reboot" in world.faults


def _releases(world: World) -> list[Move]:
    return [move for move in world.scenario.moves if move.kind == "release"]


def _with_users(world: World, guids: list[int]) -> set[int]:
    return {int(guid) for guid in world.model.living_on(str(guid) for guid in guids)}


def _judge_sets(world: World) -> None:
    """What was asked for last holds, in the records and on the host."""
    if world.rollbacks:
        return
    for guid in world.scenario.resources:
        attributes = world.model.hash_at(f"attr:{guid}")
        steps = {
            int(key.split(".")[2]): record
            for key, record in world.model.hashes.items()
            if key.startswith(f"step:{guid}.set.") and record["status"] == "done"
        }
        done = [n for n, record in steps.items() if "error" not in record]
        if done and attributes["value"] != str(json.loads(steps[max(done)]["args"])[1]):
            world.truth.wrong("older set kept", guid)
        for machine in world.machines.values():
            n, _ = machine.node.values.get(guid, {}).get("value", (0, 0))
            if done and n and n < max(done):
                world.truth.wrong("older set on the host", guid)


def _judge_effort(world: World) -> None:
    """Without trouble few messages are sent, and what nothing stands in the way of is on time."""
    if world.faults - {"skew"}:
        return
    if any(move.kind in ("set", "stop", "restart") for move in world.scenario.moves):
        return  # Steps asked for by hand take turns with others, and each turn is a message.
    for delay, step in world.truth.delays:
        resource = world.scenario.resources[int(step.split(".")[0])]
        host = world.scenario.resources.get(resource.spec.host or 0)
        if delay > _PUNCTUAL and (host is None or host.spec.limit is None):
            world.truth.wrong("late", f"{step} {delay:.3f}")
    for step, count in world.messages.items():
        resource = world.scenario.resources[int(step.split(".")[0])]
        if count > 3 * (1 + resource.rounds):
            world.truth.wrong("too many messages", f"{step} {count}")
