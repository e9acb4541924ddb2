"""The conditions of a description, as users give them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..errors import InvalidValue
from ..model.durations import seconds
from ..model.lifecycle import Action, State
from .conditions import Condition
from .resource import Resource

_CONDITIONAL = (Action.DEPLOY, Action.START, Action.STOP)


class Wait(NamedTuple):
    """A wait of a step for a milestone, of which conditions of several resources are made.

    Attributes:
        action: DEPLOY, START or STOP.
        milestone: the milestone that is waited for.
        offset: seconds that must have passed since.
    """

    action: Action
    milestone: State
    offset: float

    @classmethod
    def parse(cls, action: Action | str, state: State | str, time: str | float | None) -> Wait:
        """Return a wait as users write it.

        Raises:
            InvalidValue: the action, state or time is not possible.
        """
        what, milestone = Action.parse(action), State.parse(state)
        if what not in _CONDITIONAL:
            raise InvalidValue(f"{what} cannot have conditions", hint="use deploy, start or stop")
        if milestone is State.NEW:
            raise InvalidValue("nobody can wait for NEW: every resource begins there")
        return cls(what, milestone, 0.0 if time is None or time == "" else seconds(time))

    def condition(self, guid: int, target: int) -> Condition:
        """Return the condition that makes one resource wait for another."""
        return Condition(guid, self.action, target, self.milestone, self.offset)


class ConditionSet:
    """The conditions of all resources, each once; a resource has its own in their order."""

    def __init__(self) -> None:
        self._known: set[Condition] = set()

    def add(self, item: Resource, condition: Condition) -> bool:
        """Give a resource a condition; return False if it has it already."""
        if condition in self._known:
            return False
        self._known.add(condition)
        item.conds.append(condition)
        return True

    def discard(self, item: Resource, condition: Condition) -> None:
        """Take a condition back, if the resource has it."""
        if condition in self._known:
            self._known.remove(condition)
            item.conds.remove(condition)

    def strike(self, guid: int, items: Iterable[Resource]) -> None:
        """Take back all conditions that name a resource, those of the other resources ``items``."""
        for item in items:
            if item.conds:
                item.conds = [cond for cond in item.conds if cond.target != guid]
        self._known = {cond for cond in self._known if guid not in (cond.guid, cond.target)}
