"""The part of an experiment's face that has things done at some moment of the run."""

from __future__ import annotations

import contextlib
import enum
import functools
import json
import time as clock
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..description.description import Description
from ..description.roster import Target, Targets
from ..engine.redis_errors import contact
from ..errors import InvalidValue, NepiqError
from ..errors.text import quoted
from ..model.durations import seconds
from ..model.lifecycle import Action, State
from . import waiting
from .exchanging import Exchanging
from .session import Live

if TYPE_CHECKING:
    from ..engine.store.records import ResourceRecord

    #: Resources, the state that each must have reached, and how long ago.
    _Awaited = tuple[list[int], State | str, str | float | None]

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


class Scheduling(Exchanging):
    """What scripts call to have something done later, by a worker."""

    def __init__(self, description: Description, live: Live) -> None:
        super().__init__(description, live)
        self._began: dict[int, float] = {}
        self._waiting: list[int] = []  # calls that are not in the run yet

    def schedule(
        self,
        date: str | float | datetime | None,
        callback: Callable[..., Any],
        track: bool = False,
    ) -> int:
        """Have a worker call a function at some time; this process need not live then.

        It is called at least once: again only if its worker died in it. That it raises is its
        result, and fails nothing. A critical failure, and the release, call off what is due later.

        Args:
            date: when: ``"5s"`` or seconds from now, an absolute datetime, or 20 digits as in a
                run id (UTC); at once if None, empty or past.
            callback: a function of a module that the workers' ``imports`` setting lists, a
                :class:`functools.partial` of one with arguments that JSON has, or a method of this
                experiment: deploy, start, stop, set, release or shutdown, which then does not wait.
            track: NEPI's; results of all calls are kept.

        Returns:
            A number for :meth:`get_task`.

        Raises:
            InvalidValue: the date is none.
            TypeError: the callback cannot be called by a worker; says where to put it.
        """
        call = _described(callback, self)
        due = _moment(date)
        origin, began = self._clock()
        delay = max(0.0, due - began)
        # What stands for it is a resource, so that it is claimed, retried and recorded as any.
        guid = self._register_call(call, [([origin], State.READY, delay)])
        self._begin_calls()
        return guid

    def get_task(self, tid: int) -> Task | None:
        """A scheduled call and its result, from any client of the run; None if there is none."""
        if self._live.link is None:
            return None
        with contact():
            records = self._live.link.run.records([tid])
        found = [record for record in records if record.rtype == RTYPE]
        return Task.of(found[0]) if found else None

    def set_with_conditions(
        self,
        name: str,
        value: Any,
        guids1: Targets,
        guids2: Targets,
        state: State | str,
        time: str | float | None = None,
    ) -> list[int]:
        """Set an attribute once others have reached a state, and the resource is STARTED.

        It may be called before the first :meth:`deploy`, or later. That a task is DONE says that
        the set was asked for; whether the resource took it, :meth:`get` tells.

        Args:
            name: the attribute.
            value: its value.
            guids1: the resources whose attribute is set, each as soon as it is STARTED.
            guids2: who must have reached the state.
            state: the state.
            time: how long ago, such as ``"2s"``.

        Returns:
            Numbers for :meth:`get_task`, one for each of ``guids1``.

        Raises:
            UnknownAttribute, InvalidValue, NotAllowed: the attribute cannot be set so.
        """
        targets, several = self._resolve(guids1), self._resolve(guids2)
        for guid in targets:
            self._description.checked(guid, name, value, deployed=True)
        made = []
        for guid in targets:
            call = _json({"method": "set", "args": [guid, name, value], "kwargs": {}})
            awaited: list[_Awaited] = [(several, state, time), ([guid], State.STARTED, None)]
            made.append(self._register_call(call, awaited))
        if self._live.known_run:
            self._begin_calls()
        return made

    def start_with_conditions(self, guid: Target) -> None:
        """Start a resource when its conditions hold; return at once.

        A deployed resource does so by itself; one that has ended is started again.
        """
        known = self.find(guid)
        if self._live.state(known) in (State.STOPPED, State.FINISHED):
            self._live.required(known).request(known, "start")

    def stop_with_conditions(self, guid: Target) -> None:
        """Stop a resource when its STOP conditions hold, now if it has none; return at once."""
        known = self.find(guid)
        conditions = self._description.resource(known).conds
        if not any(condition.action is Action.STOP for condition in conditions):
            self._live.required(known).request(known, "stop")

    @contextlib.contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Within this, start, stop, set and release of this thread return once recorded."""
        with self._live.open().hasty():
            yield

    def _clock(self) -> tuple[int, float]:
        """What absolute times are reckoned from: its guid, and when it was READY."""
        with self._live.turn:
            known = self._description.of_type(CLOCK)[:1]
            if not known:
                known = [self._description.add(CLOCK, critical=False)]
        if known[0] not in self._live.deployed:
            self._live.deploy_alone(known[0])
        if known[0] not in self._began:
            self._live.wait(known, waiting.DEPLOYED, None)
            self._began[known[0]] = self._live.reached_at(known[0], State.READY) or clock.time()
        return known[0], self._began[known[0]]

    def _register_call(self, call: str, awaited: Iterable[_Awaited]) -> int:
        """Describe a call that waits until some resources have reached a state, each of several."""
        with self._live.turn:
            guid = self._description.add(RTYPE, critical=False, call=call)
            try:
                for guids, state, time in awaited:
                    self._description.condition(guid, Action.START, guids, state, time)
            except NepiqError:
                self._description.remove(guid)
                raise
            self._waiting.append(guid)
        return guid

    def _begin_calls(self) -> None:
        """Hand the calls that were described so far to the run."""
        for guid in list(self._waiting):
            # What two threads hand over is handed over once.
            self._live.deploy_alone(guid)
            with self._live.turn:
                if guid in self._waiting:
                    self._waiting.remove(guid)


def _moment(date: str | float | datetime | None) -> float:
    """A date in seconds since the epoch."""
    if date is None or date == "":
        return clock.time()
    if isinstance(date, datetime):
        return date.timestamp()
    if isinstance(date, str) and len(date) == 20 and date.isdecimal():
        with contextlib.suppress(ValueError):
            return datetime.strptime(date, _DATE).replace(tzinfo=timezone.utc).timestamp()
    try:
        return clock.time() + seconds(date)
    except InvalidValue as error:
        raise InvalidValue(f"{quoted(date)} is no date to schedule for", hint=_HINT) from error


def _described(callback: Callable[..., Any], ec: object) -> str:
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
    if isinstance(owner, Scheduling):
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
