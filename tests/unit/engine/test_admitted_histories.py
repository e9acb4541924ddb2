"""The checker of histories can fail: damaged ones are rejected, each for its damage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.histories.admits import problems
from tests.histories.history import Asked, Call, History, Line, Part, Picture, Scheduled, Wait
from tests.histories.timeline import Timeline

from nepiq.controller.engine.events import Event
from nepiq.controller.engine.store.records import ResourceRecord, StepRecord

BEGIN = 1_700_000_000.0
CAUSE = {"type": "RuntimeError", "message": "planned in start"}
CIRCLE = (
    "these wait for each other: part-2.start waits for part-1 STARTED, "
    "part-1.start waits for part-2 STARTED (remove one of these conditions)"
)


class Teller:
    """Tells a history: hooks, claims and states, at times in milliseconds."""

    def __init__(self) -> None:
        self.history = History(1)
        self.errors: dict[int, dict[str, Any]] = {}
        self.steps: dict[str, StepRecord] = {}
        self.groups: dict[int, int] = {}

    def event(self, at: float, guid: int, what: str, step: str = "") -> None:
        number = f"{len(self.history.events) + 1}-0"
        self.history.events.append(Event(number, BEGIN + at / 1e3, guid, what, step))

    def hook(self, at: float, guid: int, action: str, *said: str, state: str = "") -> None:
        """A hook is claimed, tried, and leads to a state after six milliseconds."""
        for number, what in enumerate(("begin", *said)):
            time = BEGIN + (at + 1 + number) / 1e3
            self.history.lines.append(Line(guid, action, 1, 1 + number // 2, what, time))
        self.step(at, guid, action, tries=1 + said.count("begin"))
        if state:
            self.event(at + 6, guid, state, f"{guid}.{action}")

    def step(self, at: float, guid: int, action: str, status: str = "done", tries: int = 1) -> None:
        token = int((BEGIN + at / 1e3) * 1e6) if tries else 0
        name = f"{guid}.{action}"
        self.steps[name] = StepRecord(
            step=name, status=status, left=0, due=None, token=token, worker="", began=None,
            tries=tries, lost=0, retried=0, sent=0, cancel=False, args=[], why="", error=None,
        )  # fmt: skip

    def picture(self) -> Picture:
        """The records as they follow from what was told so far."""
        history = self.history
        history.end.resources = {guid: self.record(guid, "NEW", {}) for guid in history.parts}
        line = Timeline(history, history.events)
        phases = {event.what for event in history.events if not event.guid}
        return Picture(
            phase=[event.what for event in history.events if not event.guid][-1],
            cause=3 if "FAILED" in phases else None,
            resources={
                guid: self.record(guid, line.state(guid), dict(line.milestones[guid]))
                for guid in history.parts
            },
            steps=dict(self.steps),
            events=len(history.events),
        )

    def record(self, guid: int, state: str, milestones: dict[str, float]) -> ResourceRecord:
        part = self.history.parts[guid]
        return ResourceRecord(
            guid=guid, rtype="histories::Part", label=f"part-{guid}", state=state,
            milestones=milestones, occ=1, token=0, running="", critical=part.critical, batch=True,
            queue="nepiq", host=None, peers={}, attributes={}, error=self.errors.get(guid),
            group=1, held=False, is_host=False, local=False, site="", limit=None, gone=None,
        )  # fmt: skip


def told(critical: bool = False) -> History:
    """1 and 2 run together, 2 somewhat later; 3 fails, and 4 waits for what never comes."""
    teller = Teller()
    history = teller.history
    history.parts = {
        1: Part(1),
        2: Part(2, base=(1,)),
        3: Part(3, critical=critical, fails={"start": 9}),
        4: Part(4),
    }
    history.waits = [
        Wait(2, "start", 1, "STARTED", 0.2),
        Wait(1, "stop", 2, "STARTED", 0.1),
        Wait(4, "start", 1, "FAILED"),
    ]
    history.calls = [
        Call("deploy", (1, 2, 3, 4), BEGIN + 0.001, BEGIN + 0.002, group=1),
        Call("release", (), BEGIN + 0.7, BEGIN + 0.8),
    ]
    teller.event(0, 0, "RUNNING")
    for at, guid in ((10, 1), (20, 3), (30, 4), (40, 2)):
        teller.hook(at, guid, "deploy", "ok", state="READY")
    teller.hook(50, 1, "start", "ok", state="STARTED")
    raised = ("raise", "begin", "raise", "begin", "raise")
    teller.hook(60, 3, "start", *raised)
    teller.event(70, 3, "FAILED", "3.start")
    teller.errors[3] = CAUSE
    if critical:
        teller.event(70, 0, "FAILED")
        teller.step(0, 2, "start", "void", tries=0)
    else:
        teller.hook(257, 2, "start", "ok", state="STARTED")
        teller.hook(365, 1, "stop", "ok", state="STOPPED")
    teller.step(0, 4, "start", "waiting", tries=0)
    history.quiet = teller.picture()
    history.asked = [
        Asked("deployed", (1, 2, 3), "False" if critical else "True"),
        Asked("finished", (2,), "False" if critical else "WaitTimeout"),
        Asked("released", (1, 2), "WaitTimeout"),
    ]
    teller.event(700, 0, "RELEASING")
    teller.step(0, 4, "start", "void", tries=0)
    for at, guid in ((710, 2), (720, 1), (730, 3), (740, 4)):
        teller.hook(at, guid, "release", "ok", state="RELEASED")
    teller.event(746, 0, "RELEASED")
    history.end = teller.picture()
    return history


def found(history: History) -> set[str]:
    return {problem.what for problem in problems(history)}


@pytest.mark.parametrize("critical", [False, True])
def test_what_was_told_is_admitted(critical: bool) -> None:
    assert problems(told(critical)) == []


def claim(history: History, step: str, milliseconds: float) -> None:
    """Let a step, with all that its witness says, have begun at another time."""
    record = history.end.steps[step]
    shift = BEGIN + milliseconds / 1e3 - record.token / 1e6
    history.end.steps[step] = replace(record, token=int(record.token + shift * 1e6))
    history.lines = [
        line._replace(time=line.time + shift)
        if (line.guid, line.action) == (record.guid, record.action)
        else line
        for line in history.lines
    ]


def say(history: History, guid: int, action: str, *said: str) -> None:
    """Let the witness say this of a hook."""
    lines = history.lines
    at = max((line.time for line in lines if line[:2] == (guid, action)), default=BEGIN)
    history.lines = [line for line in lines if line[:2] != (guid, action)]
    history.lines += [
        Line(guid, action, 1, 1 + number // 2, what, at + number / 1e6)
        for number, what in enumerate(said)
    ]


def forget(history: History, what: str, guid: int) -> None:
    """Take an event away."""
    history.events = [event for event in history.events if (event.what, event.guid) != (what, guid)]


def move(history: History, what: str, guid: int, milliseconds: float) -> None:
    """Let an event have happened at another time."""
    history.events = [
        replace(event, time=BEGIN + milliseconds / 1e3)
        if (event.what, event.guid) == (what, guid)
        else event
        for event in history.events
    ]


def set_step(history: History, name: str, status: str) -> None:
    for picture in (history.quiet, history.end):
        picture.steps[name] = replace(picture.steps[name], status=status)


def set_error(history: History, guid: int, message: str) -> None:
    records = history.end.resources
    records[guid] = replace(records[guid], error={"message": message})


def add(history: History, where: str, *items: object) -> None:
    getattr(history, where).extend(items)


def no_wait(history: History, place: int) -> None:
    del history.waits[place]


def make_critical(history: History, guid: int) -> None:
    history.parts[guid] = replace(history.parts[guid], critical=True)


def lose(history: History, place: int) -> None:
    history.events.append(replace(history.events[place], what="lost"))


def end_again(history: History) -> None:
    history.events.append(history.events[-1])


TWICE = ("begin", "ok", "begin", "ok")
REFUSED = Call("condition", (1, 2), 0, 0, error="ConditionCycle", message=CIRCLE)
RAISED = Call("release", (1,), 0, 0, error="StepFailed")


#: What is damaged, what the checker must say, and how.
def called_at(history: History, status: str, *milliseconds: float) -> None:
    """Let something have been scheduled for 300 ms, and called at these times."""
    history.scheduled = [Scheduled(1, BEGIN + 0.3, status)]
    history.called = {1: [BEGIN + at / 1e3 for at in milliseconds]}


DAMAGES: list[tuple[Any, ...]] = [
    ("a start before the offset", "too early", claim, "2.start", 230),
    ("a start before its own READY", "too early", claim, "1.start", 12),
    ("a stop before its condition", "too early", claim, "1.stop", 270),
    ("a deployment before its connection", "too early", claim, "2.deploy", 12),
    ("a barrier that held nobody", "barrier broken", claim, "1.start", 41),
    ("a start twice", "twice", say, 1, "start", *TWICE),
    ("a start after its success", "twice", say, 1, "start", *TWICE[:3]),
    ("a deployment twice", "twice", say, 1, "deploy", *TWICE),
    ("a release twice", "twice", say, 2, "release", *TWICE),
    ("too many attempts", "too often", say, 3, "start", *["begin", "raise"] * 4),
    ("a missing release", "release missing", say, 2, "release"),
    ("a release left half done", "release missing", say, 2, "release", "begin", "raise"),
    ("a release too soon", "released before its user", claim, "1.release", 600),
    ("a resource that stayed", "not released", forget, "RELEASED", 4),
    ("a state left out", "order of states", forget, "STARTED", 1),
    ("a time that goes back", "order of times", move, "STARTED", 1, 5),
    ("a state without its hook", "state without its hook", say, 1, "start"),
    ("a hook without its state", "hook without its state", forget, "STOPPED", 1),
    ("records that differ", "records in the end", move, "READY", 1, 16.5),
    ("no cause", "failed without a cause", say, 3, "start", "begin", "ok"),
    ("another's cause", "failed without a cause", set_error, 3, "needs part-1 READY, which failed"),
    ("a forgotten failure", "failure forgotten", forget, "FAILED", 3),
    ("a critical failure without effect", "run not failed", make_critical, 3),
    ("a live step", "step not ended", set_step, "4.start", "waiting"),
    ("a forgotten step", "forgotten", no_wait, 2),
    ("a due step without an alarm", "forgotten", set_step, "4.start", "due"),
    ("a circle", "circle was accepted", add, "waits", Wait(4, "start", 4, "STARTED")),
    ("something left", "left behind", add, "left", "alarm"),
    ("a wrong wait", "wait", add, "asked", Asked("started", (1,), "False")),
    ("a wait that gave up", "wait", add, "asked", Asked("started", (1,), "WaitTimeout")),
    ("an unexpected error", "call", add, "calls", RAISED),
    ("a circle that is none", "circle", add, "calls", REFUSED),
    ("a lost worker", "lost", lose, 5),
    ("a second end", "phases", end_again),
    ("a call that never came", "call", called_at, "NEW"),
    ("a call that came twice", "call", called_at, "DONE", 310, 320),
    ("a call that came too early", "call", called_at, "DONE", 299),
    ("a call that was not noted", "call", called_at, "DUE", 310),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage[0])
def test_damaged_histories_are_rejected(damage: tuple[Any, ...]) -> None:
    _, what, do, *args = damage
    history = told()
    do(history, *args)
    assert what in found(history)


def test_a_call_is_admitted() -> None:
    history = told()
    called_at(history, "DONE", 301)
    assert found(history) == set()


def test_a_start_after_a_critical_failure_is_rejected() -> None:
    history = told(critical=True)
    claimed = history.end.steps["1.start"].token + 300_000
    history.end.steps["2.start"] = replace(
        history.end.steps["2.start"], status="done", tries=1, token=claimed
    )
    assert "begun after FAILED" in found(history)


def test_a_wrong_cause_is_rejected() -> None:
    history = told(critical=True)
    history.end.cause = 1
    assert "wrong cause" in found(history)


def test_who_waits_in_vain_is_found() -> None:
    history = told(critical=True)
    history.waits[-1] = Wait(4, "start", 3, "STARTED")
    assert "waits in vain" in found(history)


def test_a_circle_that_exists_may_be_refused() -> None:
    history = told()
    wait = Wait(1, "start", 2, "STARTED", late=True)
    history.calls.insert(1, REFUSED._replace(wait=wait))
    assert found(history) == set()


def test_what_failed_is_shown_with_its_seed_and_story() -> None:
    text = "\n".join(told().story({1, 2}))
    assert "2.start waits for 1 STARTED + 0.2 s" in text
    first, second = (text.index(line) for line in (">>> deploy", "2 start #1.1 begin"))
    assert first < text.index("1 STARTED 1.start") < second
