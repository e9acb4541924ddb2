"""Random experiments, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from .history import ENDED, STATES, Part, Wait

_LARGEST = 60
_OFFSETS = (0.0, 0.0, 0.0, 0.05, 0.1, 0.25, 0.5)
_PREPARED = STATES[:4]
#: What a start or stop may wait for; the common ones more often.
_MILESTONES = (*STATES[:7], "READY", "STARTED", "STARTED", "STARTED", "STOPPED", "FINISHED")
_NEVER_OR_LATE = ("FAILED", "RELEASED")
_EARLY = ("discover", "provision")
_MOVES = (
    *["condition"] * 3,
    *["start", "stop", "wait"] * 2,
    *["set", "release", "schedule"],
    *_EARLY,
)


@dataclass
class Move:
    """What a client does: ``after`` seconds after its last move.

    Attributes:
        after: the pause before it.
        what: ``deploy``, ``condition``, ``start``, ``stop``, ``set``, ``release``, ``wait``,
            ``discover``, ``provision``, ``schedule``.
        guids: about whom.
        wait: the condition.
        group: the batch whose group a deployment joins; ``new`` for one of its own, empty for none.
        batch: which deployment this is.
        goal: what a wait is for.
        early: what is asked for just before a deployment.
        due: seconds after which a scheduled call is due.
        other: another client does it, which has attached to the run.
    """

    after: float
    what: str
    guids: list[int] = field(default_factory=list)
    wait: Wait | None = None
    group: int | str = ""
    batch: int = 0
    goal: str = ""
    early: list[Move] = field(default_factory=list)
    due: float = 0.0
    other: bool = False


@dataclass
class Plan:
    """An experiment and what its client does.

    Attributes:
        seed: what it was drawn from.
        parts: all resources; those of late deployments are registered just before these.
        waits: conditions registered along with their resources.
        moves: the deployments and everything else, in order.
        circular: what is described has been given a circle on purpose.
    """

    seed: int
    parts: dict[int, Part] = field(default_factory=dict)
    waits: list[Wait] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    circular: bool = False


def draw(seed: int, largest: int = _LARGEST) -> Plan:
    """Draw an experiment."""
    rng = random.Random(seed)
    plan = Plan(seed)
    size = rng.choice([rng.randint(2, 12), rng.randint(10, 30), rng.randint(25, largest)])
    _draw_parts(rng, plan, min(size, largest))
    batches = _draw_batches(rng, plan)
    for guid in plan.parts:
        _draw_waits(rng, plan, guid)
    if rng.random() < 0.08:
        _close_circle(rng, plan, batches[0])
    others = _draw_moves(rng, plan)
    if rng.random() < 0.4:
        for move in others:
            move.other = rng.random() < 0.5
    # Deployments keep their order; the other moves come anywhere after the first of them.
    plan.moves = batches[:1]
    rest = batches[1:]
    for move in others:
        while rest and rng.random() < 0.4:
            plan.moves.append(rest.pop(0))
        plan.moves.append(move)
    plan.moves += rest
    return plan


def _draw_parts(rng: random.Random, plan: Plan, size: int) -> None:
    # Half of the experiments have nothing that fails, so that all of their graph is carried out.
    weak = rng.choice([0.0, 0.0, 0.1, 0.25])
    critical = rng.choice([0.0, 0.0, 0.5])
    with_node = rng.random() < 0.35
    apps = 4
    if with_node:
        plan.parts[1] = Part(1, "node")
    for guid in range(len(plan.parts) + 1, size + 1):
        if with_node and apps and rng.random() < 0.2:
            apps -= 1
            bad = rng.random() < weak
            plan.parts[guid] = Part(
                guid,
                "app",
                critical=not bad or rng.random() < critical,
                ends=True,
                base=(1,),
                code=3 if bad else 0,
            )
            continue
        earlier = [other for other, part in plan.parts.items() if part.kind == "part"]
        base = rng.sample(earlier[-8:], 1) if earlier and rng.random() < 0.15 else []
        fails = {}
        if rng.random() < 0.15:
            fails[rng.choice(["deploy", "start", "stop", "release"])] = rng.choice([1, 2])
        mild = True
        if rng.random() < weak:
            action = rng.choice(["deploy", "start", "start", "stop", "release"])
            fails[action] = 9
            mild = action == "release"
        plan.parts[guid] = Part(
            guid,
            "work" if rng.random() < 0.3 else "part",
            critical=mild or rng.random() < critical,
            fails=fails,
            ends=rng.random() < 0.35,
            base=tuple(base),
        )


def _draw_batches(rng: random.Random, plan: Plan) -> list[Move]:
    """Consecutive guids are deployed together, so that no condition leads back into a group."""
    guids = list(plan.parts)
    cuts = sorted(
        rng.sample(range(1, len(guids)), min(rng.choice([0, 0, 1, 2, 3]), len(guids) - 1))
    )
    moves: list[Move] = []
    for batch, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(guids)], strict=True)):
        group: int | str = rng.choice(["new", "new", ""])
        # A joiner counts in only what it waits for itself, so it joins the batch before it.
        if moves and moves[-1].group != "" and rng.random() < 0.4:
            group = moves[-1].group if moves[-1].group != "new" else moves[-1].batch
        after = 0.0 if not moves else rng.choice([0.0, 0.0, 0.05, 0.4])
        moves.append(Move(after, "deploy", guids[first:last], group=group, batch=batch))
        if rng.random() < 0.3:
            some = [guid for guid in guids[first:last] if plan.parts[guid].told]
            moves[-1].early = [
                Move(0.0, rng.choice(_EARLY), [guid])
                for guid in rng.sample(some, min(len(some), rng.choice([1, 2])))
            ]
    return moves


def _draw_waits(rng: random.Random, plan: Plan, guid: int) -> None:
    earlier = [other for other in plan.parts if other < guid]
    near = earlier[-10:]
    for target in rng.sample(near, min(len(near), rng.choice([0, 1, 1, 2, 3]))):
        action = rng.choice(["start", "start", "start", "deploy", "stop"])
        if action == "deploy":
            # In one group a start comes after all deployments.
            milestone = rng.choice(_PREPARED)
        else:
            milestone = rng.choice(_MILESTONES)
            if milestone in ENDED and not _ends(plan, target) and rng.random() < 0.9:
                milestone = "STARTED"
        if rng.random() < 0.03:
            milestone = rng.choice(_NEVER_OR_LATE)
        plan.waits.append(Wait(guid, action, target, milestone, rng.choice(_OFFSETS)))
    if not plan.parts[guid].ends and rng.random() < 0.6:
        plan.waits.append(Wait(guid, "stop", guid, "STARTED", rng.choice(_OFFSETS)))


def _ends(plan: Plan, guid: int) -> bool:
    stopped = any(wait.guid == guid and wait.action == "stop" for wait in plan.waits)
    return plan.parts[guid].ends or stopped


def _close_circle(rng: random.Random, plan: Plan, first: Move) -> None:
    chosen = [guid for guid in first.guids if plan.parts[guid].kind != "node"]
    if len(chosen) < 2:
        return
    one, other = sorted(rng.sample(chosen, 2))
    plan.circular = True
    how = rng.choice(["starts", "connection", "barrier", "self"])
    if how == "barrier" and first.group == "new":
        plan.waits.append(Wait(one, "deploy", other, "STARTED"))
        return
    if how == "connection":
        base = plan.parts[other].base
        if plan.parts[one].kind == "part" and plan.parts[other].told and one not in base:
            plan.parts[other].base = (*base, one)
            plan.waits.append(Wait(one, "deploy", other, "READY", 0.0))
            return
    if how == "self":
        plan.waits.append(Wait(one, "start", one, "STARTED", 0.1))
        return
    plan.waits.append(Wait(other, "start", one, "STARTED", 0.0))
    plan.waits.append(Wait(one, "start", other, rng.choice(["STARTED", "FINISHED"]), 0.1))


def _late_wait(rng: random.Random, plan: Plan, guid: int, chosen: list[int]) -> Wait:
    starts = [wait for wait in plan.waits if wait.action == "start" and wait.target in chosen]
    if starts and rng.random() < 0.5:
        # Whom another waits for, at the end of a chain so that it may not have begun yet.
        other = rng.choice(starts[-10:])
        return Wait(other.target, "start", other.guid, rng.choice(["STARTED", "FINISHED"]), 0, True)
    action = rng.choice(["start", "start", "deploy", "stop"])
    target, milestone = rng.choice(chosen), rng.choice(_MILESTONES)
    return Wait(guid, action, target, milestone, rng.choice(_OFFSETS), late=True)


def _draw_moves(rng: random.Random, plan: Plan) -> list[Move]:
    moves: list[Move] = []
    chosen = [guid for guid, part in plan.parts.items() if part.kind != "node"]
    if not chosen:
        return moves
    for _ in range(rng.choice([0, 3, 6, 10])):
        after = rng.choice([0.0, 0.0, 0.02, 0.1, 0.3])
        what = rng.choice(_MOVES)
        guid = rng.choice(chosen)
        move = Move(after, what, [guid])
        if what == "condition":
            # In any direction: some close a circle, which has to be refused.
            move.wait = _late_wait(rng, plan, guid, chosen)
        elif what == "wait":
            move.goal = rng.choice(["deployed", "started", "finished"])
            move.guids = rng.sample(chosen, min(len(chosen), rng.randint(1, 4)))
        elif what == "schedule":
            move.due = rng.choice([0.0, 0.05, 0.2, 0.6])
        elif what == "release" and rng.random() < 0.5:
            continue
        if what == "stop" and rng.random() < 0.7:
            moves.append(Move(0.0, "wait", [guid], goal="started"))
        if what == "start" and rng.random() < 0.5:
            moves.append(Move(0.0, "wait", [guid], goal="finished"))
        moves.append(move)
        if what == "stop" and rng.random() < 0.7:
            moves.append(Move(0.0, "start", [guid]))
    return moves
