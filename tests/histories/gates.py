"""Nothing begins before its gates: conditions, connections, barriers, its own state."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from nepiq.controller.engine.store.records import StepRecord

from .history import Call, History, Wait
from .timeline import Timeline

Found = tuple[str, str, tuple[int, ...]]
#: A claim may come early by 2 ms; the rest is rounding.
_EARLY = 0.00205


def waits_of(history: History, guid: int, action: str) -> list[Wait]:
    """Everything that a step of the first occasion waits for, its group's barrier left out."""
    found = [wait for wait in history.waits if (wait.guid, wait.action) == (guid, action)]
    if action == "deploy":
        found += [Wait(guid, action, base, "READY") for base in history.parts[guid].base]
    else:
        found.append(Wait(guid, action, guid, "READY" if action == "start" else "STARTED"))
    return found


def problems(history: History, line: Timeline) -> Iterator[Found]:
    """Steps that began too early."""
    for guid in history.parts:
        for action in ("deploy", "start", "stop"):
            step = history.end.steps.get(f"{guid}.{action}")
            if step is None or not step.tries:
                continue
            began = _began(history, step)
            for wait in waits_of(history, guid, action):
                if wait.late and _was_void(history, wait, step):
                    continue  # Nothing waited any more when it came.
                if not line.met(wait.target, wait.milestone, wait.offset, began + _EARLY):
                    yield "too early", f"{began:.6f} {wait}", (guid, wait.target)
    yield from _barriers(history, line)
    yield from _closed(history, line)


def _was_void(history: History, wait: Wait, step: StepRecord) -> bool:
    """Whether a step was void before a condition of it had been registered."""
    ended = next((call.ended for call in history.calls if call.wait is wait), math.inf)
    return any(
        event.what == "void" and event.step == step.step and event.time <= ended
        for event in history.events
    )


def _began(history: History, step: StepRecord) -> float:
    """When a step began, by its claim and by its witness."""
    claimed = step.token / 1e6
    # The witness of a later occasion's stop may be another step's.
    told = [
        entry.time
        for entry in history.lines
        if (entry.guid, entry.action) == (step.guid, step.action)
        and entry.occasion == 1
        and step.action != "stop"
    ]
    return min([claimed, *told])


def members(history: History, line: Timeline, group: int) -> set[int]:
    """Who was surely deployed into a group before its barrier opened."""
    found: set[int] = set()
    opened = math.inf
    for call in history.calls:
        if call.what != "deploy" or call.error or call.group != group:
            continue
        if not found or call.ended < opened:
            found.update(call.guids)
            opened = max(line.ready(guid) for guid in found)
        else:
            break
    return found


def _barriers(history: History, line: Timeline) -> Iterator[Found]:
    groups = {call.group for call in history.calls if call.group and not call.error}
    for group in sorted(groups):
        counted = members(history, line, group)
        last = max(counted, key=line.ready)
        for guid in counted:
            step = history.end.steps.get(f"{guid}.start")
            if step is not None and step.tries:
                began = _began(history, step)
                if began + _EARLY < line.ready(last):
                    yield "barrier broken", f"{guid} before {last} of {group}", (guid, last)


def _closed(history: History, line: Timeline) -> Iterator[Found]:
    """No deploy or start is claimed once the run has failed, nor a stop once it is released."""
    for phase, actions in (
        ("FAILED", ("deploy", "start")),
        ("RELEASING", ("deploy", "start", "stop")),
    ):
        place, time = line.phases.get(phase, (math.inf, math.inf))
        for name, step in history.end.steps.items():
            # Tokens of one resource differ by one at least, so some are a little ahead.
            if (
                step.action in actions
                and step.tries
                and step.token / 1e6 > time + 1e-5 * step.tries
            ):
                yield f"begun after {phase}", name, (step.guid,)
        for number, event in enumerate(history.events):
            if number > place and event.what == "claim" and event.step.split(".")[1] in actions:
                yield f"begun after {phase}", event.step, (event.guid,)


# -- circles ----------------------------------------------------------------------------------

_CLAUSE = re.compile(r"(\S+?\.\w+|group [\w ]+?) waits for (group [\w ]+|\S+ [A-Z]+)$")


def wrong_circle(history: History, call: Call) -> str:
    """What is wrong with the circle that an error names; empty if it is one."""
    text = call.message.partition(": ")[2].partition(" (")[0]
    clauses = [_CLAUSE.match(clause) for clause in text.split(", ")]
    if not text or not all(clauses):
        return "no circle"
    pairs = [clause.groups() for clause in clauses if clause]
    known = [*history.waits, *([call.wait] if call.wait else [])]
    for who, goal in pairs:
        if not _exists(history, known, who, goal):
            return f"{who} does not wait for {goal}"
    for (_, goal), (who, _) in zip(pairs, pairs[1:] + pairs[:1], strict=True):
        if _subject(goal) != _subject(who):
            return f"{goal} does not lead to {who}"
    return ""


def _subject(text: str) -> str:
    if text.startswith("group "):
        return text
    return text.split(maxsplit=1)[0].partition(".")[0].rpartition("-")[2]


def _exists(history: History, known: list[Wait], who: str, goal: str) -> bool:
    if who.startswith("group "):
        return goal.endswith(" READY")
    guid, action = int(_subject(who)), who.rpartition(".")[2]
    if goal.startswith("group "):
        return action == "start"
    target, milestone = int(_subject(goal)), goal.split()[1]
    if (guid, action, target, milestone) in [wait[:4] for wait in known]:
        return True
    if target == guid:
        return (action, milestone) in (("start", "READY"), ("stop", "STARTED"))
    return action == "deploy" and target in history.parts[guid].base and milestone == "READY"
