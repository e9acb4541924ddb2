"""Hooks: the methods of a resource manager that each do one part of an action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import InvalidValue
from .durations import Backoff, seconds
from .lifecycle import Action, State


class Later:
    """The result of a hook that is to be called again after a delay.

    No worker is occupied meanwhile. The step's deadline applies to all its rounds together.

    Attributes:
        seconds: the delay.
    """

    __slots__ = ("seconds",)

    def __init__(self, delay: str | float) -> None:
        """Set the delay, ``"5s"`` or a number of seconds.

        Raises:
            InvalidValue: the delay is not a duration.
        """
        self.seconds = seconds(delay)

    def __repr__(self) -> str:
        return f"Later({self.seconds:g})"


class Retry:
    """The retry policy of a hook: how often and when it is retried before its resource fails.

    Attributes:
        times: number of retries.
        delay: seconds before the first retry.
        backoff: factor by which the delay grows with each retry.

    Example:
        ``retries = {"do_deploy": Retry(3, "2s")}`` retries after 2, 4 and 8 seconds.
    """

    __slots__ = ("backoff", "delay", "times")

    def __init__(self, times: int, delay: str | float, backoff: float = 2.0) -> None:
        if times < 0 or backoff < 1:
            raise InvalidValue("a Retry needs times >= 0 and backoff >= 1")
        self.times = times
        self.delay = seconds(delay)
        self.backoff = backoff

    def wait(self, failures: int) -> float | None:
        """Return the seconds before the next retry; None if no retry is left."""
        if failures > self.times:
            return None
        return Backoff(self.delay, factor=float(self.backoff)).pause(failures)


class Hook(NamedTuple):
    """A method that does one part of an action.

    Attributes:
        milestone: the state that is reached when it returns; None if the state stays.
        name: the method's name.
    """

    milestone: State | None
    name: str


_DEPLOYMENT = (
    Hook(State.DISCOVERED, "do_discover"),
    Hook(State.RESERVED, "do_reserve"),
    Hook(State.PROVISIONED, "do_provision"),
    Hook(State.READY, "do_deploy"),
)
#: The hooks of each action, in the order they are called.
HOOKS: Mapping[Action, tuple[Hook, ...]] = {
    Action.DEPLOY: _DEPLOYMENT,
    Action.DISCOVER: _DEPLOYMENT[:1],
    Action.PROVISION: _DEPLOYMENT[:3],
    Action.START: (Hook(State.STARTED, "do_start"),),
    Action.STOP: (Hook(State.STOPPED, "do_stop"),),
    Action.FINISH: (),
    Action.SET: (Hook(None, "do_set"),),
    Action.RELEASE: (Hook(State.RELEASED, "do_release"),),
}
#: The names of all hooks.
HOOK_NAMES = frozenset(hook.name for hooks in HOOKS.values() for hook in hooks)
