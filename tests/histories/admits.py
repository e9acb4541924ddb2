"""Is a recorded history one that docs/engine.md admits?

Written from that page and not from the scripts: what is checked here does not know how they work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from . import causes, gates, rest
from .history import STATES, History
from .kinds import RETRIES
from .timeline import NEXT, Timeline

#: Times are rounded to microseconds.
_ROUNDING = 5e-6
#: Hooks that belong to the first occasion, and those whose success shows in a state.
_BEFORE = ("provision", "deploy")
_SHOWN = ("deploy", "start", "stop")
_EXPECTED = {
    "deploy": {"ExperimentFailed", "ConditionCycle"},
    "condition": {"ExperimentFailed", "ConditionCycle", "TooLate"},
    "start": {"ExperimentFailed", "NotAllowed", "StepFailed", "CommandError"},
    "stop": {"ExperimentFailed", "NotAllowed", "StepFailed"},
    "set": {"ExperimentFailed", "NotAllowed", "StepFailed"},
    "wait": {"WaitTimeout", "NotAllowed", "ExperimentReleased"},
    "discover": {"ExperimentFailed", "NotAllowed", "StepFailed"},
    "provision": {"ExperimentFailed", "NotAllowed", "StepFailed"},
    "schedule": {"ExperimentFailed", "NotAllowed"},
    "release": set[str](),
}


class Problem(NamedTuple):
    """What no admitted history has."""

    what: str
    where: str
    guids: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {self.where}"


def problems(history: History) -> list[Problem]:
    """Everything that is wrong with a history; nothing if it is admitted."""
    found = [Problem("client", text) for text in history.broken]
    found += _calls(history)
    if history.circular == bool(history.events) and not history.broken:
        found.append(Problem("circle", "accepted" if history.circular else "refused without one"))
    if history.broken or not history.events:
        return found
    line = Timeline(history, history.events)
    checks = (_phases, _lives, _records, _hooks, _states_of_hooks, _scheduled, _left)
    for check in checks:
        found += check(history, line)
    for module in (gates, causes, rest):
        found += [Problem(*item) for item in module.problems(history, line)]
    return found


def _calls(history: History) -> Iterator[Problem]:
    for call in history.calls:
        if call.error and call.error not in _EXPECTED[call.what]:
            yield Problem("call", f"{call.what} {call.guids} raised {call.error}: {call.message}")
        elif call.error == "ConditionCycle":
            wrong = gates.wrong_circle(history, call)
            if wrong:
                yield Problem("circle", f"{wrong} in {call.message!r}", call.guids)


def _phases(history: History, line: Timeline) -> Iterator[Problem]:
    told = [event.what for event in history.events if not event.guid]
    wanted = ["RUNNING", *(["FAILED"] if "FAILED" in told else []), "RELEASING", "RELEASED"]
    if [what for what in told if what in {*wanted, "FAILED"}] != wanted:
        yield Problem("phases", str(told))


def _lives(history: History, line: Timeline) -> Iterator[Problem]:
    """Every resource goes through its states in order, and ends RELEASED."""
    for guid, turns in line.turns.items():
        before, time = "NEW", 0.0
        for turn in turns:
            if turn.state not in NEXT[before]:
                yield Problem("order of states", f"{guid} {before} {turn.state}", (guid,))
            if turn.time < time - _ROUNDING:
                yield Problem("order of times", f"{guid} {turn.state} before {before}", (guid,))
            before, time = turn.state, turn.time
    for guid in history.end.resources:
        if line.state(guid) != "RELEASED":
            yield Problem("not released", f"{guid} is {line.state(guid)}", (guid,))
    for event in history.events:
        if event.what == "lost":
            yield Problem("lost", f"{event.step} without a loss", (event.guid,))


def _records(history: History, line: Timeline) -> Iterator[Problem]:
    """The records say what the events say, at rest and in the end."""
    earlier = Timeline(history, history.events[: history.quiet.events])
    for name, told, picture in (
        ("at rest", earlier, history.quiet),
        ("in the end", line, history.end),
    ):
        for guid, record in picture.resources.items():
            if record.state != told.state(guid):
                what = f"{guid} is {record.state}, its events say {told.state(guid)}"
                yield Problem(f"records {name}", what, (guid,))
            kept, known = record.milestones, told.milestones[guid]
            differing = [
                milestone
                for milestone in STATES
                if (milestone in kept) != (milestone in known)
                or abs(kept.get(milestone, 0.0) - known.get(milestone, 0.0)) > _ROUNDING
            ]
            if differing:
                yield Problem(f"records {name}", f"{guid} {differing}", (guid,))


def _hooks(history: History, line: Timeline) -> Iterator[Problem]:
    """A hook succeeds at most once an occasion, and is not called after that."""
    told = history.steps_told()
    for (guid, action, occasion), steps in told.items():
        said = [entry.what for step in steps for entry in step]
        where = f"{guid}.{action} #{occasion}: {' '.join(said)}"
        if action == "launch":
            continue
        wanted = ["begin", "raise"] * said.count("raise")
        if said not in (wanted, [*wanted, "begin", "ok"]):
            yield Problem("twice", where, (guid,))
        elif len(steps) > 1 + _asked(history, guid, action):
            yield Problem("twice", f"{where} in {len(steps)} steps", (guid,))
        elif any(len(step) > 2 * (RETRIES + 1) for step in steps):
            yield Problem("too often", where, (guid,))
    for guid, part in history.parts.items():
        if part.kind == "app":
            launches = sum(map(len, told.get((guid, "launch", 1), [])))
            states = [turn.state for turn in line.turns[guid]]
            if not states.count("FINISHED") <= launches <= 1 + states.count("READY"):
                yield Problem("twice", f"{guid} was launched {launches} times", (guid,))


def _asked(history: History, guid: int, action: str) -> int:
    """How often a client asked for an action of a resource."""
    return sum(call.what == action and guid in call.guids for call in history.calls)


def _states_of_hooks(history: History, line: Timeline) -> Iterator[Problem]:
    """A state is entered when its hook has succeeded, and because of that."""
    succeeded: dict[tuple[int, str, int], float] = {}
    begun: set[tuple[int, str]] = set()
    for entry in history.lines:
        key = (entry.guid, entry.action, entry.occasion)
        begun.add(key[:2])
        if entry.what == "ok":
            succeeded[key] = entry.time
    leads = {"PROVISIONED": "provision", "READY": "deploy", "STARTED": "start", "STOPPED": "stop"}
    entered: set[tuple[int, str, int]] = set()
    for guid, part in history.parts.items():
        if not part.told:
            continue
        for turn in line.turns[guid]:
            action = leads.get(turn.state)
            if action is None or (action in _BEFORE and turn.occasion > 1):
                continue
            key = (guid, action, turn.occasion)
            entered.add(key)
            if succeeded.get(key, float("inf")) > turn.time + _ROUNDING:
                yield Problem("state without its hook", f"{guid} {turn.state}", (guid,))
        yield from _released(history, line, guid, begun)
    for key in succeeded.keys() - entered:
        guid, action, occasion = key
        if action in _SHOWN and not _too_late(history, guid, action):
            yield Problem("hook without its state", f"{guid}.{action} #{occasion}", (guid,))


def _too_late(history: History, guid: int, action: str) -> bool:
    """Whether a resource had failed, for what its start waited for, when a hook succeeded."""
    failed = False
    for event in history.events:
        failed |= event.what == "FAILED" and event.guid == guid
        if failed and event.what == "done" and event.step.startswith(f"{guid}.{action}"):
            return True
    return False


def _released(
    history: History, line: Timeline, guid: int, begun: set[tuple[int, str]]
) -> Iterator[Problem]:
    """What was touched is released by its hook; what was not, is not."""
    touched = any((guid, action) in begun for action in ("provision", "deploy", "start"))
    if touched and (guid, "release") not in begun:
        yield Problem("release missing", str(guid), (guid,))
    said = [entry.what for entry in history.lines if entry[:2] == (guid, "release")]
    fails = history.parts[guid].fails.get("release", 0)
    if said and fails > RETRIES and said.count("raise") != RETRIES + 1:
        yield Problem("release not tried again", f"{guid} {said}", (guid,))
    if said and fails <= RETRIES and said[-1] != "ok":
        yield Problem("release missing", f"{guid} {said}", (guid,))
    if said and fails > RETRIES and not history.end.resources[guid].error:
        yield Problem("error of a release forgotten", str(guid), (guid,))
    times = [entry.time for entry in history.lines if entry[:2] == (guid, "release")]
    for other in history.parts[guid].base if touched else ():
        lower = [entry.time for entry in history.lines if entry[:2] == (other, "release")]
        if times and lower and min(lower) < max(times):
            yield Problem("released before its user", f"{other} before {guid}", (guid, other))


def _scheduled(history: History, line: Timeline) -> Iterator[Problem]:
    """What was scheduled was called once, unless the run ended first, and never too early."""
    over = any(phase in line.phases for phase in ("FAILED",))
    for item in history.scheduled:
        times = history.called.get(item.number, [])
        if len(times) > 1 or (not times and not over):
            yield Problem("call", f"{item.number} was called {len(times)} times")
        if times and times[0] < item.due - _ROUNDING:
            yield Problem("call", f"{item.number} came {item.due - times[0]:.6f} s too early")
        if (item.status == "DONE") != bool(times):
            yield Problem("call", f"{item.number} is {item.status}, called {len(times)} times")


def _left(history: History, line: Timeline) -> Iterator[Problem]:
    yield from (Problem("left behind", what) for what in history.left)
    for name, step in history.end.steps.items():
        if not step.ended:
            yield Problem("step not ended", f"{name} is {step.status}", (step.guid,))
    for guid, record in history.end.resources.items():
        if record.running or record.held:
            yield Problem("still occupied", str(guid), (guid,))
    if history.end.phase != "RELEASED":
        yield Problem("phase", history.end.phase)
