"""What is known of an experiment that is over: the plan, what was asked, and what happened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nepiq.controller.engine import Event
from nepiq.controller.engine.store.records import ResourceRecord, StepRecord

ENDED = ("STOPPED", "FINISHED", "FAILED", "RELEASED")
STATES = ("DISCOVERED", "RESERVED", "PROVISIONED", "READY", "STARTED", *ENDED)


@dataclass
class Part:
    """A resource as it was drawn.

    Attributes:
        guid: its guid.
        kind: ``part`` (no I/O), ``work`` (steps of its own), ``node`` or ``app`` (processes).
        critical: its failure ends the experiment.
        fails: how often which hook raises, at each step.
        ends: it ends by itself.
        base: guids that it is connected to, and so deployed after and released before.
        code: exit code of an application.
    """

    guid: int
    kind: str = "part"
    critical: bool = True
    fails: Mapping[str, int] = field(default_factory=dict)
    ends: bool = False
    base: tuple[int, ...] = ()
    code: int = 0

    @property
    def told(self) -> bool:
        """Its hooks tell the witness."""
        return self.kind in ("part", "work")


class Wait(NamedTuple):
    """A condition that was accepted."""

    guid: int
    action: str
    target: int
    milestone: str
    offset: float = 0.0
    late: bool = False

    def __str__(self) -> str:
        after = f" + {self.offset:g} s" if self.offset else ""
        late = " (registered late)" if self.late else ""
        return f"{self.guid}.{self.action} waits for {self.target} {self.milestone}{after}{late}"


class Call(NamedTuple):
    """Something that a client asked for.

    Attributes:
        what: ``deploy``, ``start``, ``stop``, ``release``, ``condition`` or ``wait``.
        guids: about whom.
        began: when it was called.
        ended: when it returned.
        group: the group that a deployment joined; None for none.
        error: class of the error that it raised; empty for none.
        message: what that said.
        wait: the condition it was about.
    """

    what: str
    guids: tuple[int, ...]
    began: float
    ended: float
    group: int | None = None
    error: str = ""
    message: str = ""
    wait: Wait | None = None


class Line(NamedTuple):
    """A line of the witness: ``what`` is ``begin``, ``ok`` or ``raise`` of an attempt."""

    guid: int
    action: str
    occasion: int
    attempt: int
    what: str
    time: float

    def __str__(self) -> str:
        return f"{self.guid} {self.action} #{self.occasion}.{self.attempt} {self.what}"


class Scheduled(NamedTuple):
    """A call that was scheduled: ``number`` is its task, ``due`` the earliest moment for it."""

    number: int
    due: float
    status: str = ""


class Asked(NamedTuple):
    """A wait with what it answered, when nothing moved any more."""

    goal: str
    guids: tuple[int, ...]
    answer: str


@dataclass
class Picture:
    """The records at one moment."""

    phase: str = "RUNNING"
    cause: int | None = None
    resources: dict[int, ResourceRecord] = field(default_factory=dict)
    steps: dict[str, StepRecord] = field(default_factory=dict)
    events: int = 0


@dataclass
class History:
    """One experiment from its first call to its release.

    Attributes:
        seed: what it was drawn from.
        parts: the resources.
        waits: the conditions that were accepted.
        calls: what the clients asked for, in order.
        asked: the waits at the moment of ``quiet``.
        events: the run's history.
        lines: what the witness wrote.
        quiet: the records when nothing moved any more, before the release.
        end: the records after the release.
        scheduled: the calls that were scheduled, and what became of them.
        called: when each of them was called, as the witness says.
        left: what was left in Redis that should not be there.
        broken: what went wrong in the client itself.
        circular: its description has a circle, so that it cannot be deployed.
        run_id: the run; empty if there was none.
    """

    seed: int = 0
    circular: bool = False
    run_id: str = ""
    parts: dict[int, Part] = field(default_factory=dict)
    waits: list[Wait] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    quiet: Picture = field(default_factory=Picture)
    end: Picture = field(default_factory=Picture)
    scheduled: list[Scheduled] = field(default_factory=list)
    called: dict[int, list[float]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def deployed(self) -> dict[int, int | None]:
        """The group of everything that was deployed."""
        return {
            guid: call.group
            for call in reversed(self.calls)
            if call.what == "deploy" and not call.error
            for guid in call.guids
        }

    def steps_told(self) -> dict[tuple[int, str, int], list[list[Line]]]:
        """The witness's lines by guid, action and occasion, those of each step together.

        A start that somebody asks for takes the place of one that is to be tried again, so one
        occasion may have several steps; each counts its attempts from the first.
        """
        told: dict[tuple[int, str, int], list[list[Line]]] = {}
        for line in self.lines:
            occasion = line.occasion if line.action in ("start", "stop") else 1
            steps = told.setdefault((line.guid, line.action, occasion), [])
            again = bool(steps) and (
                line.attempt > steps[-1][-1].attempt
                or (line.attempt == steps[-1][-1].attempt and steps[-1][-1].what == "begin")
            )
            if again:
                steps[-1].append(line)
            else:
                steps.append([line])
        return told

    def story(self, guids: set[int]) -> Iterator[str]:
        """What concerns these resources, in order of time, for people."""
        for guid in sorted(guids & self.parts.keys()):
            yield f"  {self.parts[guid]}, group {self.deployed().get(guid, 'none')}"
        yield from (f"  {wait}" for wait in self.waits if wait.guid in guids)
        told = [
            (event.time, f"{event.guid} {event.what} {event.step} {event.attempt or ''}")
            for event in self.events
            if event.guid in guids or not event.guid
        ]
        told += [
            (
                line.time,
                f"    {line.guid} {line.action} #{line.occasion}.{line.attempt} {line.what}",
            )
            for line in self.lines
            if line.guid in guids
        ]
        for call in self.calls:
            if guids & {*call.guids} and (call.what != "condition" or call.error):
                told.append((call.began, f">>> {call.what} {call.guids}"))
                told.append((call.ended, f"<<< {call.what} {call.group or ''} {call.error}"))
        first = min((time for time, _ in told), default=0.0)
        yield from (f"  {time - first:9.4f} {text}" for time, text in sorted(told))
