"""Carries out a plan through the public ExperimentController, and takes its history down."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.stand import Stand, until

from nepiq.controller import ExperimentController, errors
from nepiq.controller.engine import Event, Run
from nepiq.controller.engine.store import keys

from . import kinds
from .history import Asked, Call, History, Line, Part, Picture, Scheduled, Wait
from .plan import Move, Plan

_RTYPES = {"part": "histories::Part", "work": "histories::Work"}
_GOALS = ("deployed", "started", "finished", "released")
_PATIENCE = 0.5
_QUIET = 40.0
_RETIRED = 10.0


class Player:
    """One experiment.

    Args:
        stand: Redis and the workers.
        plan: the experiment.
        folder: where its witness writes.
    """

    def __init__(self, stand: Stand, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.history = History(plan.seed, plan.circular)
        self.witness = folder / f"witness-{plan.seed}"
        self.witness.touch()
        self._stand = stand
        self._ec = ExperimentController(f"history-{plan.seed}", settings=stand.settings, quiet=True)
        self._client = self._ec
        self._other: ExperimentController | None = None
        self._groups: dict[int, int | None] = {}
        self._tasks: dict[int, int] = {}
        self._run: Run | None = None

    def play(self) -> History:
        """Carry it out, from its description to its release."""
        try:
            self._carry_out()
        except (errors.NepiqError, AssertionError) as error:
            self.history.broken.append(f"{type(error).__name__}: {error}")
        finally:
            self._ec.shutdown()
            if self._other is not None:
                self._other._replica.close()
        return self.history

    def _carry_out(self) -> None:
        for number, move in enumerate(self.plan.moves):
            time.sleep(move.after)
            if move.other:
                self._client = self._attached()
            if move.what == "deploy":
                self._register(move.guids)
                for early in move.early:
                    self._do(early)
            error = self._do(move)
            self._client = self._ec
            if number == 0 and error:
                return  # The description was refused, and nothing exists.
        self.history.run_id = self._ec.run_id
        self._run = self._stand.backend().run(self._ec.run_id)
        until(self._is_quiet, _QUIET, "it did not come to rest")
        self.history.quiet = self._picture()
        self._ask()
        self._call("release", [], self._ec.release)
        self.history.end = self._picture()
        self._note_events(_events(self._run))
        self._note_lines(_lines(self.witness))
        # Whoever committed the last release takes the run off the list of those with work.
        run = self._run
        with contextlib.suppress(AssertionError):
            until(lambda: not list(_left(run)), _RETIRED, "")
        self.history.left = list(_left(run))

    def _attached(self) -> ExperimentController:
        """Another client of the same run."""
        if self._other is None:
            settings = self._stand.settings
            self._other = ExperimentController.attach(self._ec.run_id, settings=settings)
            self._other._session.quiet = True
        return self._other

    def _note_events(self, events: list[Event]) -> None:
        """The events, without those of scheduled calls, which are no resources for users."""
        told = [event for event in events if event.guid in self.history.parts or not event.guid]
        before = events[: self.history.quiet.events]
        self.history.quiet.events = sum(event in told for event in before)
        self.history.events = told

    def _note_lines(self, lines: list[Line]) -> None:
        for line in lines:
            if line.action == "call":
                self.history.called.setdefault(line.guid, []).append(line.time)
            else:
                self.history.lines.append(line)

    # -- describing -------------------------------------------------------------------------

    def _register(self, guids: Iterable[int]) -> None:
        for guid in guids:
            part = self.plan.parts[guid]
            self._ec.register_resource(
                guid=guid, connectedTo=part.base, critical=part.critical, **self._attributes(part)
            )
            self.history.parts[guid] = part
        for wait in self.plan.waits:
            if wait.guid in guids:
                self._condition(wait)

    def _attributes(self, part: Part) -> dict[str, Any]:
        if part.kind == "node":
            return {"rtype": "linux::Node"}
        if part.kind == "app":
            told = f"echo {part.guid} launch 1 1 ok 0 >>{self.witness}"
            command = (
                f"{told}; exit {part.code}"
                if part.guid % 2
                else f"{told}; sleep 0.1; exit {part.code}"
            )
            return {"rtype": "linux::Application", "command": command}
        return {
            "rtype": _RTYPES[part.kind],
            "witness": str(self.witness),
            "fails": " ".join(f"{action}:{count}" for action, count in part.fails.items()),
            "rounds": int(part.guid % 7 == 0),
            "work": 0.01 * (part.guid % 11 == 0),
            "ends": part.ends,
        }

    # -- what the client does ---------------------------------------------------------------

    def _do(self, move: Move) -> str:
        """Make a move; the class of what it raised, if anything."""
        if move.what == "deploy":
            return self._call("deploy", move.guids, lambda: self._deploy(move))
        known = [guid for guid in move.guids if guid in self.history.parts]
        about = {move.wait.guid, move.wait.target} if move.wait else set()
        if not known or not about <= self.history.parts.keys():
            return ""
        if move.wait is not None:
            return self._condition(move.wait)
        if move.what == "schedule" and len(self.history.parts) < len(self.plan.parts):
            return ""  # It would take one of the guids that are still to be given.
        return self._call(move.what, known, lambda: self._act(move, known))

    def _act(self, move: Move, known: list[int]) -> None:
        ec, guid = self._client, known[0]
        if move.what == "wait":
            getattr(ec, f"wait_{move.goal}")(known, timeout=_PATIENCE)
        elif move.what == "release":
            ec.release(known)
        elif move.what == "schedule":
            self._schedule(move.due)
        elif move.what != "set":
            getattr(ec, move.what)(guid)
        elif self.history.parts[guid].told:
            ec.set(guid, "level", guid)

    def _schedule(self, after: float) -> None:
        number, now = len(self.history.scheduled) + 1, time.time()
        call = functools.partial(kinds.called, str(self.witness), number)
        task = self._client.schedule(f"{after}s", call)
        self._tasks[number] = task
        self.history.scheduled.append(Scheduled(number, now + after))

    def _deploy(self, move: Move) -> int | None:
        group = self._groups.get(move.group) if isinstance(move.group, int) else None
        given = self._ec.deploy(move.guids, wait_all_ready=move.group != "", group=group)
        self._groups[move.batch] = given
        return given

    def _condition(self, wait: Wait) -> str:
        error = self._call(
            "condition",
            [wait.guid, wait.target],
            lambda: self._client.register_condition(
                wait.guid, wait.action, wait.target, wait.milestone, wait.offset
            ),
            wait,
        )
        if not error:
            self.history.waits.append(wait)
        return error

    def _call(
        self, what: str, guids: Iterable[int], act: Callable[[], Any], wait: Wait | None = None
    ) -> str:
        """Take down a call with what it answered; the class of what it raised, if anything."""
        began, answer, name, message = time.time(), None, "", ""
        try:
            answer = act()
        except errors.NepiqError as error:
            name, message = type(error).__name__, str(error)
        group = answer if what == "deploy" else None
        self.history.calls.append(
            Call(what, tuple(guids), began, time.time(), group, name, message, wait)
        )
        return name

    # -- looking ----------------------------------------------------------------------------

    def _is_quiet(self) -> bool:
        """Nothing is under way: no alarm, no work left over, no process that will end."""
        assert self._run is not None
        store = self._run.store
        with store.redis.pipeline(transaction=True) as pipe:
            pipe.zcard(store.keys.of("alarm"))
            pipe.llen(store.keys.of("todo"))
            pipe.xlen(store.keys.events)
            alarms, todo, _ = pipe.execute()
        if alarms or todo:
            return False
        apps = [guid for guid, part in self.history.parts.items() if part.kind == "app"]
        states = self._run.snapshot(apps).states if apps else {}
        return "STARTED" not in states.values()

    def _picture(self) -> Picture:
        assert self._run is not None
        store, parts = self._run.store, self.history.parts
        snapshot = self._run.snapshot()
        steps = [raw.decode() for raw in store.redis.hkeys(store.keys.of("step"))]
        return Picture(
            snapshot.phase,
            snapshot.cause["guid"] if snapshot.cause else None,
            {record.guid: record for record in self._run.records() if record.guid in parts},
            {
                record.step: record
                for record in (store._steps(steps) if steps else [])
                if record.guid in parts
            },
            store.redis.xlen(store.keys.events),
        )

    def _ask(self) -> None:
        """Wait for what is there, or never will be; nothing moves any more."""
        deployed = sorted(self.history.deployed())
        for goal in _GOALS:
            for guids in (deployed, deployed[:1], deployed[1::3]):
                try:
                    answer = str(getattr(self._ec, f"wait_{goal}")(guids, timeout=0))
                except errors.WaitTimeout:
                    answer = "WaitTimeout"
                except errors.ExperimentReleased:
                    # It counts as reached, and this client hears that the other released it.
                    answer = "True" if self._other is not None else "nobody released it"
                self.history.asked.append(Asked(goal, tuple(guids), answer))
        for place, item in enumerate(self.history.scheduled):
            task = self._ec.get_task(self._tasks[item.number])
            status = task.status.name if task else ""
            self.history.scheduled[place] = item._replace(status=status)
        failed = {failure.guid for failure in self._ec.failures}
        wanted = {guid for guid, item in self.history.quiet.resources.items() if item.error}
        if failed != wanted:
            self.history.broken.append(f"ec.failures has {failed}, not {wanted}")
        state = self._ec.ecstate.name
        if (state == "FAILED") != (self.history.quiet.cause is not None):
            self.history.broken.append(f"ec.ecstate is {state} in {self.history.quiet.phase}")


def _events(run: Run) -> list[Any]:
    events: list[Any] = []
    while more := run.events(events[-1].id if events else "0-0"):
        events += more
    return events


def _lines(witness: Path) -> list[Line]:
    lines = [line.split() for line in witness.read_text().splitlines()]
    return [
        Line(int(guid), action, int(occasion), int(attempt), what, float(at))
        for guid, action, occasion, attempt, what, at in lines
    ]


def _left(run: Run) -> Iterable[str]:
    """What a run that has been released should not have any more."""
    redis, store = run.store.redis, run.store
    for raw in redis.scan_iter(match=store.keys.prefix.replace("{", "\\{") + "*", count=1000):
        name = raw.decode().removeprefix(store.keys.prefix)
        if name.split(":")[0] in ("alarm", "todo", "busy", "line", "watch", "wait"):
            yield name
    if redis.sismember(keys.active(run.settings.broker_name), run.run_id):
        yield "among the active runs"
    if redis.zscore(keys.ENDED, run.run_id) is None:
        yield "not among the ended runs"
