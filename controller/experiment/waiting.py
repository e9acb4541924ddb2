"""Waits for states of a run: a snapshot, then the event stream from that point."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import errors
from ..engine.redis_errors import contact
from ..model.lifecycle import IMPLIES, State

if TYPE_CHECKING:
    from ..engine import Event, Run
    from ..engine.store.records import StepRecord

SILENCE = 10.0
"""Seconds without an event after which a new snapshot is taken."""

PATIENCE = 60.0
"""Seconds that Redis may be unreachable during a wait."""

_STATES = frozenset(State.__members__)
_PHASES = frozenset({"RUNNING", "FAILED", "RELEASING", "RELEASED"})


@dataclass(frozen=True)
class Goal:
    """The goal of a wait.

    Attributes:
        name: for the error of a timeout.
        states: the present states that fulfil it.
        despite_failure: continue when the experiment has failed.
    """

    name: str
    states: frozenset[str]
    despite_failure: bool = False


_ENDED = frozenset({"STOPPED", "FINISHED", "FAILED", "RELEASED"})
DEPLOYED = Goal("deployed", _ENDED | {"READY", "STARTED"})
STARTED = Goal("started", _ENDED | {"STARTED"})
FINISHED = Goal("finished", _ENDED)
RELEASED = Goal("released", frozenset({"RELEASED"}), despite_failure=True)


def reaching(named: State | str | Iterable[State | str]) -> Goal:
    """Return the goal of having reached a state, or one of several.

    A resource that has failed fulfils it too, unless it is RELEASED alone: it reaches no other.

    Raises:
        InvalidValue: a state does not exist, or none was named.
    """
    several = (named,) if isinstance(named, (State, str)) else named
    states = [State.parse(one) for one in several]
    if not states:
        raise errors.InvalidValue("there is no state to wait for", hint="name one or several")
    wanted = frozenset(states)
    if wanted == {State.RELEASED}:
        return RELEASED
    fulfil = {state.name for state in State if state in wanted or wanted & set(IMPLIES[state])}
    name = " or ".join(state.name for state in states)
    return Goal(name, frozenset(fulfil) | {"FAILED", "RELEASED"})


class Follower:
    """The states of a run's resources, kept up to date by its events.

    Attributes:
        states: state by guid.
        phase: RUNNING, FAILED, RELEASING, RELEASED, or GONE once the run's records have expired.
        cause: the failure that ended RUNNING, or None.
        snapshots: how many snapshots were taken; the events before each of them are not returned.
    """

    def __init__(self, run: Run, guids: Sequence[int] | None = None) -> None:
        self._run = run
        self._guids = guids
        self._last = ""
        self._heard = time.monotonic()
        self.states: dict[int, str] = {}
        self.phase = "RUNNING"
        self.cause: Mapping[str, Any] | None = None
        self.snapshots = 0
        self.look()

    def look(self) -> None:
        """Take a snapshot."""
        with contact():
            snapshot = self._run.snapshot(self._guids)
        self.states = dict(snapshot.states)
        self.phase, self.cause, self._last = snapshot.phase, snapshot.cause, snapshot.last_id
        self.snapshots += 1
        self._heard = time.monotonic()

    def follow(self, seconds: float) -> list[Event]:
        """Wait for events, apply them and return them; an empty list if none came in that time.

        A snapshot replaces missed events after a lost connection, and after a long silence.

        Raises:
            RedisUnreachable: Redis was unreachable for :data:`PATIENCE`.
        """
        block = min(seconds, SILENCE)
        try:
            with contact():
                events = self._run.events(self._last, block)
        except errors.RedisUnreachable:
            self._reconnect()
            return []
        if events:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard >= SILENCE:
            self.look()
        for event in events:
            self._apply(event)
        return events

    def _apply(self, event: Event) -> None:
        self._last = event.id
        if event.guid:
            if event.what in _STATES and (self._guids is None or event.guid in self.states):
                self.states[event.guid] = event.what
        elif event.what in _PHASES:
            self.phase = event.what
            if event.what == "FAILED":
                self.cause = event.info or self.cause or {}

    def _reconnect(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.look()
                return
            except errors.RedisUnreachable:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)


def wait(
    run: Run,
    guids: Collection[int],
    goal: Goal,
    *,
    timeout: float | None = None,
    idle: Callable[[Sequence[int]], None] = lambda pending: None,
    explain: Callable[[int], str] = str,
) -> bool:
    """Wait until each resource fulfils a goal.

    Args:
        run: the run.
        guids: the resources.
        goal: what to wait for.
        timeout: seconds; None for no limit.
        idle: called about every :data:`SILENCE` seconds with the resources not yet done; may raise.
        explain: returns what a resource waits for, for the error of a timeout.

    Returns:
        True, or False if the experiment failed.

    Raises:
        WaitTimeout: the time passed; the message names what each resource waits for.
    """
    if not guids:
        return True
    follower = Follower(run, sorted(guids))
    end = None if timeout is None else time.monotonic() + timeout
    next_check = time.monotonic() + SILENCE
    pending = changed = set(guids)
    while True:
        states = follower.states
        pending -= {guid for guid in changed if states.get(guid, "RELEASED") in goal.states}
        failed = follower.cause is not None
        if not pending:
            bad = failed and any(states.get(g) in ("FAILED", "RELEASED") for g in guids)
            return goal.despite_failure or not bad
        if failed and not goal.despite_failure:
            return False
        now = time.monotonic()
        if end is not None and now >= end:
            raise _timeout(run, pending, goal, timeout or 0.0, follower, explain)
        if now >= next_check:
            idle(sorted(pending))
            next_check = now + SILENCE
        events = follower.follow(min(next_check, end or next_check) - now)
        # Without events there may have been a snapshot, which may change any state.
        changed = {event.guid for event in events} & pending if events else set(pending)


def _timeout(
    run: Run,
    pending: Iterable[int],
    goal: Goal,
    timeout: float,
    follower: Follower,
    explain: Callable[[int], str],
) -> errors.WaitTimeout:
    late = sorted(pending)
    told = "; ".join(explain(guid) for guid in late[:3])
    more = f"; and {len(late) - 3} more" if len(late) > 3 else ""
    noun = "resource is" if len(late) == 1 else "resources are"
    return errors.WaitTimeout(
        f"{len(late)} {noun} not {goal.name} after {timeout:.3g} s: {told}{more}",
        where=f"run {run.run_id}",
        hint=f"the run goes on; its phase is {follower.phase}",
    )


def wait_step(
    run: Run, step: str, *, idle: Callable[[Sequence[int]], None] = lambda pending: None
) -> StepRecord:
    """Wait until a step has ended, and raise what it raised.

    Raises:
        StepFailed: it did not take place, or its hook raised something that is no nepiq error.
        NepiqError: what the hook raised.
    """
    guid = int(step.partition(".")[0])
    follower = Follower(run, [guid])
    next_check = time.monotonic() + SILENCE
    while True:
        with contact():
            record = run.step(step)
        if record is None or record.status == "void":
            why = record.why if record and record.why else "the run or its state forbids it now"
            raise errors.StepFailed(
                f"step {step} was not carried out: {why}", where=_label(run, guid)
            )
        if record.status == "done":
            error = record.error or _failure(run, guid, record)
            if error:
                raise raised(error)
            return record
        if time.monotonic() >= next_check:
            idle([guid])
            next_check = time.monotonic() + SILENCE
        # Whatever happens to other resources is passed over without asking Redis again.
        while time.monotonic() < next_check:
            events = follower.follow(next_check - time.monotonic())
            if not events or any(event.step == step or event.guid == guid for event in events):
                break


def _label(run: Run, guid: int) -> str:
    with contact():
        return run.record(guid).label


def _failure(run: Run, guid: int, record: StepRecord) -> Mapping[str, Any] | None:
    """The failure of the resource, if this step was its cause."""
    with contact():
        resource = run.record(guid)
    if resource.state != "FAILED" or record.action == "release":
        return None
    return resource.error


def raised(error: Mapping[str, Any]) -> errors.NepiqError:
    """The error that a step raised, made again from what was recorded of it."""
    name = str(error.get("type", ""))
    found = getattr(errors, name, None)
    known = isinstance(found, type) and issubclass(found, errors.NepiqError)
    kind: type[errors.NepiqError] = found if known else errors.StepFailed  # type: ignore[assignment]
    message = str(error.get("message", ""))
    made = kind.__new__(kind)
    # Not through the class's own __init__: it would word the message anew.
    errors.NepiqError.__init__(
        made,
        message if known or not name else f"{name}: {message}",
        where=str(error.get("where", "")),
        hint=str(error.get("hint", "")),
    )
    for extra in ("code", "stderr", "command"):
        if extra in error:
            setattr(made, extra, error[extra])
    return made
