"""The life of a resource manager: states, actions, legal moves and milestones.

A *state* is where a manager is; a *milestone* is a state it has reached once. Conditions look
at milestones, so the table :data:`IMPLIES` says which milestones a state stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from ..errors import IllegalMove, InvalidValue
from ..errors.text import quoted

_E = TypeVar("_E", bound=Enum)


def _named(kind: type[_E], value: object, names: Mapping[str, _E]) -> _E:
    if isinstance(value, kind):
        return value
    member = names.get(value.upper()) if isinstance(value, str) else None
    if member is None:
        noun = kind.__name__.lower()
        raise InvalidValue(
            f"{quoted(value)} is not a resource {noun}", hint="use one of " + ", ".join(names)
        )
    return member


class State(Enum):
    """Where a resource manager is. States have no order; see :data:`IMPLIES`."""

    #: Registered, nothing done.
    NEW = "NEW"
    #: What it will use has been found.
    DISCOVERED = "DISCOVERED"
    #: What it will use has been set aside for it.
    RESERVED = "RESERVED"
    #: What it will use exists and answers.
    PROVISIONED = "PROVISIONED"
    #: Deployed; it can be started.
    READY = "READY"
    #: Running, and serving where the user said how to tell.
    STARTED = "STARTED"
    #: Somebody stopped it.
    STOPPED = "STOPPED"
    #: It ended by itself.
    FINISHED = "FINISHED"
    #: One of its steps failed, or its process ended badly.
    FAILED = "FAILED"
    #: Everything it had made is undone; the end of every life.
    RELEASED = "RELEASED"

    def _unordered(self, other: object) -> bool:
        raise TypeError(
            f"states have no order, so {self} cannot be compared with {other}: "
            f"ask ec.reached(guid, state), e.g. ec.reached(guid, State.{self.name})"
        )

    __lt__ = __le__ = __gt__ = __ge__ = _unordered
    __hash__ = object.__hash__  # members are single; Enum's own hash is several times slower

    def __str__(self) -> str:
        """The name, as users read it."""
        return self.name

    @classmethod
    def parse(cls, value: State | str) -> State:
        """Accept a state or its name in any case.

        Raises:
            InvalidValue: there is no such state.
        """
        return _named(cls, value, cls.__members__)


class Action(Enum):
    """What is done to a resource manager by one step."""

    #: From NEW to READY, through discovery, reservation and provisioning.
    DEPLOY = "deploy"
    #: The first part of a deployment, to DISCOVERED, when it is asked for by itself.
    DISCOVER = "discover"
    #: A deployment as far as PROVISIONED, when it is asked for by itself.
    PROVISION = "provision"
    #: From READY, or again after it ended, to STARTED.
    START = "start"
    #: From STARTED to STOPPED.
    STOP = "stop"
    #: Change an attribute of a deployed resource.
    SET = "set"
    #: Undo everything.
    RELEASE = "release"

    __hash__ = object.__hash__

    def __str__(self) -> str:
        """The lower-case name, as steps are called."""
        return str(self.value)

    @classmethod
    def parse(cls, value: Action | str) -> Action:
        """Accept an action or its name in any case.

        Raises:
            InvalidValue: there is no such action.
        """
        return _named(cls, value, cls.__members__)


#: NEPI's names for the same.
ResourceState = State
ResourceAction = Action


class Move(NamedTuple):
    """What one action does to the state.

    Attributes:
        source: the states in which it may be begun.
        target: the state it ends in if nothing fails; None if it leaves the state alone.
    """

    source: frozenset[State]
    target: State | None


#: The milestones of a deployment, in order.
DEPLOYMENT = (State.DISCOVERED, State.RESERVED, State.PROVISIONED, State.READY)

#: States in which nothing of the resource runs any more.
ENDED = frozenset({State.STOPPED, State.FINISHED, State.FAILED, State.RELEASED})

_UNDEPLOYED = frozenset({State.NEW, *DEPLOYMENT[:-1]})
_DEAD = frozenset({State.FAILED, State.RELEASED})

#: The legal moves: for each action where it may begin and where it leads.
MOVES: Mapping[Action, Move] = MappingProxyType(
    {
        Action.DEPLOY: Move(_UNDEPLOYED, State.READY),
        Action.DISCOVER: Move(_UNDEPLOYED, State.DISCOVERED),
        Action.PROVISION: Move(_UNDEPLOYED, State.PROVISIONED),
        Action.START: Move(frozenset({State.READY, State.STOPPED, State.FINISHED}), State.STARTED),
        Action.STOP: Move(frozenset({State.STARTED}), State.STOPPED),
        Action.SET: Move(frozenset(State) - _DEAD, None),
        Action.RELEASE: Move(frozenset(State) - {State.RELEASED}, State.RELEASED),
    }
)


def advance(state: State, action: Action) -> State:
    """The state in which ``action``, begun in ``state``, ends if nothing fails.

    Raises:
        IllegalMove: the action cannot begin in that state.
    """
    source, target = MOVES[action]
    if state not in source:
        allowed = ", ".join(str(item) for item in State if item in source)
        raise IllegalMove(f"cannot {action} in state {state}", hint=f"possible in {allowed}")
    return target or state


_TO_START = (*DEPLOYMENT, State.STARTED)
_TO_END = (*_TO_START, State.STOPPED, State.FINISHED)

#: The milestones that count as reached when a state is. STOPPED and FINISHED stand for each
#: other, since whoever waits for an end does not care who brought it about. FAILED, of a
#: critical resource, stands for itself only: what waits for anything else waits in vain.
IMPLIES: Mapping[State, tuple[State, ...]] = MappingProxyType(
    {
        State.NEW: (),
        **{state: DEPLOYMENT[: i + 1] for i, state in enumerate(DEPLOYMENT)},
        State.STARTED: _TO_START,
        State.STOPPED: _TO_END,
        State.FINISHED: _TO_END,
        State.FAILED: (State.FAILED,),
        State.RELEASED: (*_TO_END, State.RELEASED),
    }
)


def implied(state: State, *, critical: bool = True) -> tuple[State, ...]:
    """The milestones that count as reached when ``state`` is.

    A resource that is not critical does not hold others up by failing: its FAILED counts as
    every milestone of a life.
    """
    if state is State.FAILED and not critical:
        return (*_TO_END, State.FAILED)
    return IMPLIES[state]
