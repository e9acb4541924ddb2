"""The life cycle of a resource: states, actions, legal transitions and milestones.

A *state* is the present one; a *milestone* is a state that was reached at some time. Conditions
refer to milestones; the table :data:`IMPLIES` lists the milestones that each state implies.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from ..errors import IllegalMove, InvalidValue
from ..errors.text import quoted

_E = TypeVar("_E", bound=Enum)


def _parse_name(kind: type[_E], value: object, names: Mapping[str, _E]) -> _E:
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
    """The state of a resource. States have no order; see :data:`IMPLIES`."""

    #: Registered; nothing has run.
    NEW = "NEW"
    #: The real objects that it will use are found.
    DISCOVERED = "DISCOVERED"
    #: They are reserved for it.
    RESERVED = "RESERVED"
    #: They exist and respond.
    PROVISIONED = "PROVISIONED"
    #: Deployed; it can be started.
    READY = "READY"
    #: Running, and ready if a readiness probe is set.
    STARTED = "STARTED"
    #: Stopped by a stop step.
    STOPPED = "STOPPED"
    #: Ended by itself.
    FINISHED = "FINISHED"
    #: A step failed, or the process exited with an error.
    FAILED = "FAILED"
    #: Everything is undone; the final state.
    RELEASED = "RELEASED"

    def _refuse_order(self, other: object) -> bool:
        raise TypeError(
            f"states have no order, so {self} cannot be compared with {other}: "
            f"call ec.reached(guid, state), e.g. ec.reached(guid, State.{self.name})"
        )

    __lt__ = __le__ = __gt__ = __ge__ = _refuse_order
    __hash__ = object.__hash__  # members are singletons; Enum's own hash is several times slower

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @classmethod
    def parse(cls, value: State | str) -> State:
        """Return the state with a name, in any case.

        Raises:
            InvalidValue: there is no such state.
        """
        return _parse_name(cls, value, cls.__members__)


class Action(Enum):
    """The action of a step on a resource."""

    #: From NEW to READY, through discovery, reservation and provisioning.
    DEPLOY = "deploy"
    #: The first part of a deployment only, to DISCOVERED.
    DISCOVER = "discover"
    #: A deployment up to PROVISIONED only.
    PROVISION = "provision"
    #: From READY, STOPPED or FINISHED to STARTED.
    START = "start"
    #: From STARTED to STOPPED.
    STOP = "stop"
    #: From STARTED to FINISHED, when the time is over that a resource without a process lasts.
    FINISH = "finish"
    #: Change an attribute of a deployed resource.
    SET = "set"
    #: Undo everything.
    RELEASE = "release"

    __hash__ = object.__hash__

    def __str__(self) -> str:
        """Return the name in lower case, as in the names of steps."""
        return str(self.value)

    @classmethod
    def parse(cls, value: Action | str) -> Action:
        """Return the action with a name, in any case.

        Raises:
            InvalidValue: there is no such action.
        """
        return _parse_name(cls, value, cls.__members__)


#: NEPI's names of the two.
ResourceState = State
ResourceAction = Action


class Move(NamedTuple):
    """The state transition of an action.

    Attributes:
        source: the states in which the action may begin.
        target: the state after success; None if the state does not change.
    """

    source: frozenset[State]
    target: State | None


#: The milestones of a deployment, in order.
DEPLOYMENT = (State.DISCOVERED, State.RESERVED, State.PROVISIONED, State.READY)

#: States in which the resource no longer runs.
ENDED = frozenset({State.STOPPED, State.FINISHED, State.FAILED, State.RELEASED})

_UNDEPLOYED = frozenset({State.NEW, *DEPLOYMENT[:-1]})
_DEAD = frozenset({State.FAILED, State.RELEASED})

#: The legal transitions by action.
MOVES: Mapping[Action, Move] = MappingProxyType(
    {
        Action.DEPLOY: Move(_UNDEPLOYED, State.READY),
        Action.DISCOVER: Move(_UNDEPLOYED, State.DISCOVERED),
        Action.PROVISION: Move(_UNDEPLOYED, State.PROVISIONED),
        Action.START: Move(frozenset({State.READY, State.STOPPED, State.FINISHED}), State.STARTED),
        Action.STOP: Move(frozenset({State.STARTED}), State.STOPPED),
        Action.FINISH: Move(frozenset({State.STARTED}), State.FINISHED),
        Action.SET: Move(frozenset(State) - _DEAD, None),
        Action.RELEASE: Move(frozenset(State) - {State.RELEASED}, State.RELEASED),
    }
)


def advance(state: State, action: Action) -> State:
    """Return the state after ``action``, begun in ``state``, if nothing fails.

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

#: The milestones that count as reached when a state is. STOPPED and FINISHED imply each other,
#: because a condition on the end of a resource does not depend on its cause. FAILED of a critical
#: resource implies only itself: conditions on other milestones can then never be met.
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
    """Return the milestones that count as reached when ``state`` is.

    The failure of a resource that is not critical does not block others: its FAILED counts as
    every milestone up to STOPPED and FINISHED.
    """
    if state is State.FAILED and not critical:
        return (*_TO_END, State.FAILED)
    return IMPLIES[state]
