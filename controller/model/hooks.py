"""Hooks: the methods of a resource manager that do one part of an action each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import InvalidValue
from .durations import Backoff, seconds
from .lifecycle import Action, State


class Later:
    """What a hook returns when the world is not ready: call it again after a delay.

    No worker waits meanwhile. The step's deadline counts over all its rounds.

    Attributes:
        seconds: the delay.
    """

    __slots__ = ("seconds",)

    def __init__(self, delay: str | float) -> None:
        """Take the delay, ``"5s"`` or a number of seconds.

        Raises:
            InvalidValue: it is not a duration.
        """
        self.seconds = seconds(delay)

    def __repr__(self) -> str:
        return f"Later({self.seconds:g})"


class Retry:
    """How often and when a hook that raised is tried again, before its resource fails.

    Attributes:
        times: how many times more.
        delay: seconds before the first of these.
        backoff: factor by which the delay grows from one to the next.

    Example:
        ``retries = {"do_deploy": Retry(3, "2s")}`` tries again after 2, 4 and 8 seconds.
    """

    __slots__ = ("backoff", "delay", "times")

    def __init__(self, times: int, delay: str | float, backoff: float = 2.0) -> None:
        if times < 0 or backoff < 1:
            raise InvalidValue("a Retry needs times >= 0 and backoff >= 1")
        self.times = times
        self.delay = seconds(delay)
        self.backoff = backoff

    def wait(self, failures: int) -> float | None:
        """Seconds until the next try after that many failures; None if there is none."""
        if failures > self.times:
            return None
        return Backoff(self.delay, factor=float(self.backoff)).pause(failures)


class Hook(NamedTuple):
    """A method that does one part of an action.

    Attributes:
        milestone: the state that is reached when it has returned; None if it changes none.
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
    Action.SET: (Hook(None, "do_set"),),
    Action.RELEASE: (Hook(State.RELEASED, "do_release"),),
}
#: The names of all of them.
HOOK_NAMES = frozenset(hook.name for hooks in HOOKS.values() for hook in hooks)
