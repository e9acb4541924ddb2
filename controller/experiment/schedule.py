"""Scheduled calls: functions and methods that workers call at some moment of a run."""

from __future__ import annotations

import contextlib
import enum
import functools
import json
import time as clock
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..description.roster import Targets
from ..engine.redis_errors import contact
from ..errors import InvalidValue, NepiqError
from ..errors.text import quoted
from ..model.durations import seconds
from ..model.lifecycle import Action, State
from . import waiting
from .session import RunSession

if TYPE_CHECKING:
    from ..engine.store.records import ResourceRecord

    #: Resources, the state that each must have reached, and how long ago.
    _Condition = tuple[Targets, State | str, str | float | None]

#: The type of the resources that stand for scheduled calls.
RTYPE = "nepiq::Callback"
#: The type of what absolute times are reckoned from.
CLOCK = "nepiq::Clock"

#: Methods of the experiment that a worker may call.
METHODS = frozenset({"deploy", "start", "stop", "set", "release", "shutdown"})

_DATE = "%Y%m%d%H%M%S%f"
_HINT = "write for instance '5s', a datetime, or 20 digits as in a run id (UTC)"


class TaskStatus(enum.IntEnum):
    """How far a scheduled call is, with NEPI's numbers."""

    #: It was not called yet.
    NEW = 0
    #: It returned.
    DONE = 1
    #: It raised, or it was in no worker's power to call it.
    ERROR = 2


@dataclass(frozen=True)
class Task:
    """A scheduled call.

    Attributes:
        id: its number.
        status: how far it is.
        result: what it returned, or the traceback of what it raised; None if it was not called.
    """

    id: int
    status: TaskStatus
    result: Any = None

    @classmethod
    def of(cls, record: ResourceRecord) -> Task:
        """The call that a record is of."""
        outcome = record.attributes.get("outcome")
        if outcome == "DONE":
            return cls(record.guid, TaskStatus.DONE, json.loads(record.attributes["result"]))
        if outcome == "ERROR":
            return cls(record.guid, TaskStatus.ERROR, record.attributes["traceback"])
        if record.error is not None:
            return cls(record.guid, TaskStatus.ERROR, str(record.error.get("message", "")))
        return cls(record.guid, TaskStatus.NEW)


class Schedule:
    """Calls of functions, and sets of attributes, that workers make at some moment of a run.

    Args:
        session: changes the run.
        ec: the experiment whose methods may be called.
    """

    def __init__(self, session: RunSession, ec: object) -> None:
        self._session = session
        self._replica = session.replica
        self._description = session.replica.description
        self._ec = ec
        #: When the resource that absolute times are relative to was READY, by its guid.
        self._began: dict[int, float] = {}
        #: Calls that are described and not in the run yet.
        self._unsubmitted: list[int] = []

    def add(self, date: str | float | datetime | None, callback: Callable[..., Any]) -> int:
        """Describe and submit a call; see :meth:`.ExperimentController.schedule`."""
        call = _encoded(callback, self._ec)
        moment, called = _moment(date), clock.monotonic()
        origin, began = self._clock()
        # Redis has recorded when the origin was READY, and another clock may differ from its.
        now = self._replica.opened().run.store.now() - (clock.monotonic() - called)
        due = now + moment if isinstance(moment, float) else moment.timestamp()
        delay = max(0.0, due - began)
        # A resource represents it, so that it is claimed, retried and recorded as any other.
        guid = self._add_call(call, [([origin], State.READY, delay)])
        self.submit()
        return guid

    def add_set(self, name: str, value: Any, guids: Targets, awaited: _Condition) -> list[int]:
        """Describe sets of an attribute; see :meth:`.ExperimentController.set_with_conditions`."""
        targets = self._replica.resolve(guids)
        others, state, time = self._replica.resolve(awaited[0]), awaited[1], awaited[2]
        for guid in targets:
            self._description.checked(guid, name, value, deployed=True)
        made = []
        for guid in targets:
            call = _json({"method": "set", "args": [guid, name, value], "kwargs": {}})
            conditions: list[_Condition] = [(others, state, time), ([guid], State.STARTED, None)]
            made.append(self._add_call(call, conditions))
        self.submit()
        return made

    def task(self, tid: int) -> Task | None:
        """Return a scheduled call; None if there is none of this number."""
        link = self._replica.link
        if link is None:
            return None
        with contact():
            records = link.run.records([tid])
        tasks = [Task.of(record) for record in records if record.rtype == RTYPE]
        return tasks[0] if tasks else None

    def submit(self) -> None:
        """Deploy the calls that were described so far, if there is a run."""
        if not self._replica.known_run:
            return
        for guid in list(self._unsubmitted):
            # Deploying it from two threads deploys it once.
            self._session.deploy_alone(guid)
            with self._replica.turn:
                if guid in self._unsubmitted:
                    self._unsubmitted.remove(guid)

    def adopt(self, other: Schedule) -> None:
        """Take over the description of another experiment, with the calls that are in no run."""
        with other._replica.turn:
            calls = [] if other._replica.known_run else list(other._unsubmitted)
            self._description.adopt(other._description, internal=bool(calls))
        self._unsubmitted = calls

    def _clock(self) -> tuple[int, float]:
        """Return the resource that absolute times are relative to, and when it was READY."""
        with self._replica.turn:
            clocks = self._description.of_type(CLOCK)[:1]
            if not clocks:
                clocks = [self._description.add(CLOCK, critical=False)]
        guid = clocks[0]
        if guid not in self._replica.deployed:
            self._session.deploy_alone(guid)
        if guid not in self._began:
            self._session.wait(guid, waiting.DEPLOYED, None)
            self._began[guid] = self._replica.current.reached_at(guid, State.READY) or (
                self._replica.opened().run.store.now()
            )
        return guid, self._began[guid]

    def _add_call(self, call: str, conditions: Iterable[_Condition]) -> int:
        """Describe a call that waits until all conditions hold."""
        with self._replica.turn:
            guid = self._description.add(RTYPE, critical=False, call=call)
            try:
                for guids, state, time in conditions:
                    self._description.condition(guid, Action.START, guids, state, time)
            except NepiqError:
                self._description.remove(guid)
                raise
            self._unsubmitted.append(guid)
        return guid


def _moment(date: str | float | datetime | None) -> datetime | float:
    """A date, or in how many seconds from now."""
    if date is None or date == "":
        return 0.0
    if isinstance(date, datetime):
        return date
    if isinstance(date, str) and len(date) == 20 and date.isdecimal():
        with contextlib.suppress(ValueError):
            return datetime.strptime(date, _DATE).replace(tzinfo=timezone.utc)
    try:
        return float(seconds(date))
    except InvalidValue as error:
        raise InvalidValue(f"{quoted(date)} is no date to schedule for", hint=_HINT) from error


def _encoded(callback: Callable[..., Any], ec: object) -> str:
    """A callback as JSON that says where workers find it."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    given: Any = callback
    if isinstance(given, functools.partial):
        callback, args, kwargs = given.func, given.args, given.keywords
    if not callable(callback):
        raise TypeError(f"{callback!r} cannot be called")
    name = str(getattr(callback, "__qualname__", ""))
    owner = getattr(callback, "__self__", None)
    if owner is not None and (isinstance(owner, type(ec)) or isinstance(ec, type(owner))):
        name = name.rpartition(".")[2]
        if owner is not ec or name not in METHODS:
            can = ", ".join(sorted(METHODS))
            raise TypeError(
                f"a worker cannot call {name} of an experiment; it can call {can} of the one that "
                "it is scheduled in"
            )
        return _json({"method": name, "args": list(args), "kwargs": kwargs})
    module = str(getattr(callback, "__module__", ""))
    bound = owner is not None and not isinstance(owner, ModuleType)
    if bound or module in ("", "__main__") or "<" in name or not name:
        raise TypeError(
            f"a worker cannot find {name or callback!r}: put it as a function into a module of its "
            "own, and list that module in NEPIQ_IMPORTS"
        )
    return _json({"function": f"{module}:{name}", "args": list(args), "kwargs": kwargs})


def _json(call: dict[str, Any]) -> str:
    try:
        text = json.dumps(call, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"the arguments of a callback must be data that JSON has: {error}"
        ) from None
    return text
