"""When nothing moves any more: nobody is forgotten, nobody waits in a circle, waits say so."""

from __future__ import annotations

from collections.abc import Iterator

from .gates import Found, waits_of
from .history import ENDED, History
from .timeline import Timeline

_GOALS = {
    "deployed": {"READY", "STARTED", *ENDED},
    "started": {"STARTED", *ENDED},
    "finished": {*ENDED},
    "released": {"RELEASED"},
}
_NEVER = ("FAILED", "RELEASED")
_LIVE = ("waiting", "due", "claimed")


def problems(history: History, line: Timeline) -> Iterator[Found]:
    """What should have gone on, and waits that answered wrongly."""
    for guid in history.deployed():
        if guid in history.quiet.resources:
            yield from _forgotten(history, guid)
    yield from _circles(history)
    yield from _answers(history)


def _shut(history: History, guid: int, action: str) -> list[tuple[int, str]]:
    """The gates of a step that are still closed: target and milestone."""
    records = history.quiet.resources
    found = [
        (wait.target, wait.milestone)
        for wait in waits_of(history, guid, action)
        if wait.target not in records or wait.milestone not in records[wait.target].milestones
    ]
    if action == "start":
        groups = history.deployed()
        found += [
            (other, "READY")
            for other, group in groups.items()
            if group is not None
            and group == groups[guid]
            and other in records
            and "READY" not in records[other].milestones
            and records[other].state not in ENDED
        ]
    return found


def _forgotten(history: History, guid: int) -> Iterator[Found]:
    quiet = history.quiet
    state = quiet.resources[guid].state
    for action in ("deploy", "start", "stop"):
        step = quiet.steps.get(f"{guid}.{action}")
        if step is None or step.status not in _LIVE:
            continue
        shut = _shut(history, guid, action)
        if step.status != "waiting":
            yield "forgotten", f"{step.step} is {step.status} and has no alarm", (guid,)
        elif not shut:
            yield "forgotten", f"{step.step} waits for nothing", (guid,)
        for target, milestone in shut:
            other = quiet.resources.get(target)
            # A failure that is not critical counts as every milestone, so this one was.
            if other is not None and other.state == "FAILED" and milestone not in _NEVER:
                yield "waits in vain", f"{step.step} for {target} {milestone}", (guid, target)
    if quiet.phase != "RUNNING":
        return
    due = {"NEW": "deploy", "DISCOVERED": "deploy", "RESERVED": "deploy", "PROVISIONED": "deploy"}
    action = due.get(state, "start" if state == "READY" else "")
    step = quiet.steps.get(f"{guid}.{action}")
    if action and (step is None or step.status != "waiting"):
        status = step.status if step else "missing"
        yield "forgotten", f"{guid} is {state}, its {action} {status}", (guid,)


def _circles(history: History) -> Iterator[Found]:
    """Steps that wait for each other, although each of their conditions was accepted."""
    waiting = {name for name, step in history.quiet.steps.items() if step.status == "waiting"}
    edges: dict[str, list[str]] = {}
    for name in waiting:
        guid, action = name.split(".")[:2]
        edges[name] = [
            f"{target}.{_reached_by(milestone)}"
            for target, milestone in _shut(history, int(guid), action)
            if milestone not in _NEVER
        ]
    # Take away whoever waits for somebody outside, until none is left or a circle is.
    left = dict(edges)
    while True:
        free = [name for name, others in left.items() if not any(o in left for o in others)]
        if not free:
            break
        for name in free:
            del left[name]
    if left:
        guids = tuple(sorted({int(name.split(".")[0]) for name in left}))
        yield "circle was accepted", ", ".join(sorted(left)), guids


def _reached_by(milestone: str) -> str:
    return "start" if milestone in ("STARTED", "STOPPED", "FINISHED") else "deploy"


def _answers(history: History) -> Iterator[Found]:
    quiet = history.quiet
    failed = quiet.cause is not None
    for goal, guids, answer in history.asked:
        states = {quiet.resources[guid].state for guid in guids}
        there = states <= _GOALS[goal]
        wanted = "True" if there else "WaitTimeout"
        if failed and goal != "released":
            wanted = str(there and not states & {"FAILED", "RELEASED"})
        if not guids:
            wanted = "True"
        if answer != wanted:
            yield "wait", f"{goal} {guids} answered {answer}, not {wanted}", guids[:3]
