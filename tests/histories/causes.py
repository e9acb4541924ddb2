"""Failures: each has a cause, and each cause has its failure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from .gates import Found
from .history import History
from .kinds import RETRIES
from .timeline import Timeline


def problems(history: History, line: Timeline) -> Iterator[Found]:
    """Failures without a cause, causes without a failure."""
    for guid in history.parts:
        turn = line.entered(guid, "FAILED")
        if turn is not None:
            wrong = _unexplained(history, line, guid, turn.place)
            if wrong:
                yield "failed without a cause", f"{guid}: {wrong}", (guid,)
        elif _gave_up(history, guid) and not _cancelled(history, guid):
            yield "failure forgotten", str(guid), (guid,)
    yield from _of_the_run(history, line)


def _unexplained(history: History, line: Timeline, guid: int, place: int) -> str:
    """Why the failure of a resource has no cause; empty if it has one."""
    error = history.end.resources[guid].error or {}
    message = str(error.get("message", ""))
    needed = line.needed(guid)
    if needed is not None:
        other, how = needed
        milestone = message.split()[2].rstrip(",")
        turn = line.entered(other, "FAILED" if how == "failed" else "RELEASED")
        if turn is None or turn.place > place:
            return f"{message}, but it had not {how} then"
        waited = any(
            (wait.guid, wait.target, wait.milestone) == (guid, other, milestone)
            and wait.action in ("deploy", "start")
            for wait in history.waits
        )
        if not waited and other not in history.parts[guid].base:
            return f"{message}, but it did not need that"
        return ""
    part = history.parts[guid]
    if part.kind == "app":
        return "" if part.code else f"an exit code nobody planned: {message}"
    if part.told and _gave_up(history, guid) and "planned" in message:
        return ""
    return f"{message!r} is no cause"


def _gave_up(history: History, guid: int) -> str:
    """The action whose hook was tried as often as it may be, in vain; releases do not count."""
    for (whose, action, _), steps in history.steps_told().items():
        raised = max([line.what for line in step].count("raise") for step in steps)
        if whose == guid and action != "release" and raised > RETRIES:
            return action
    return ""


def _cancelled(history: History, guid: int) -> bool:
    """Whether a release came while the last attempt was under way: then it does not count."""
    asked = min((call.began for call in history.calls if call.what == "release"), default=math.inf)
    action = _gave_up(history, guid)
    return any(
        event.what == "void" and event.time >= asked and event.step.split(".")[1] == action
        for event in history.events
        if event.guid == guid
    )


def _of_the_run(history: History, line: Timeline) -> Iterator[Found]:
    """The run fails with its first critical resource, unless it is being released already."""
    failed = line.phases.get("FAILED")
    releasing = line.phases.get("RELEASING", (len(history.events), 0.0))[0]
    critical = [
        turn.place
        for guid, turns in line.turns.items()
        for turn in turns
        if turn.state == "FAILED" and line.critically(guid)
    ]
    first = min(critical, default=len(history.events))
    if failed is None:
        if first < releasing:
            event = history.events[first]
            yield "run not failed", f"although {event.guid} failed", (event.guid,)
        return
    if first > failed[0]:
        yield "run failed", "without a critical failure", ()
    elif history.events[first].guid != history.end.cause:
        yield "wrong cause", f"{history.end.cause}, not {history.events[first].guid}", ()
