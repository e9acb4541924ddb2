"""What the events of a run say: when each resource reached which milestone."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

from nepiq.controller.engine import Event

from .history import ENDED, STATES, History

_PREPARED = STATES[:4]
_LIFE = (*STATES[:5], "STOPPED", "FINISHED")
#: What a state stands for; a critical FAILED stands for itself alone.
IMPLIED = {
    **{state: _PREPARED[: n + 1] for n, state in enumerate(_PREPARED)},
    "STARTED": _LIFE[:5],
    "STOPPED": _LIFE,
    "FINISHED": _LIFE,
    "FAILED": (*_LIFE, "FAILED"),
    "RELEASED": (*_LIFE, "FAILED", "RELEASED"),
}
#: Where each state may lead; READY after an end is a new occasion.
NEXT = {
    "NEW": {*_PREPARED, "FAILED", "RELEASED"},
    **{state: {*_PREPARED[n + 1 :], "FAILED", "RELEASED"} for n, state in enumerate(_PREPARED)},
    "READY": {"STARTED", "FAILED", "RELEASED"},
    "STARTED": {"STOPPED", "FINISHED", "FAILED", "RELEASED"},
    "STOPPED": {"READY", "RELEASED"},
    "FINISHED": {"READY", "RELEASED"},
    "FAILED": {"RELEASED"},
    "RELEASED": set(),
}


class Turn(NamedTuple):
    """A resource enters a state.

    Attributes:
        place: which event it is.
        state: the state.
        time: when.
        step: the step that brought it there; may be empty.
        occasion: which of its starts it belongs to.
    """

    place: int
    state: str
    time: float
    step: str
    occasion: int


class Timeline:
    """The events of a run, by resource.

    Attributes:
        turns: the states of each resource, in order.
        reached: when it reached a milestone, once for each occasion.
        milestones: those that it has at the end, and when.
        phases: the run's phases: place among the events and time.
    """

    def __init__(self, history: History, events: list[Event]) -> None:
        self.history = history
        self.turns: dict[int, list[Turn]] = defaultdict(list)
        self.reached: dict[tuple[int, str], list[float]] = defaultdict(list)
        self.milestones: dict[int, dict[str, float]] = defaultdict(dict)
        self.phases: dict[str, tuple[int, float]] = {}
        self._occasions: dict[int, int] = defaultdict(lambda: 1)
        for place, event in enumerate(events):
            if not event.guid:
                self.phases.setdefault(event.what, (place, event.time))
            elif event.what in STATES:
                self._enter(place, event)

    def _enter(self, place: int, event: Event) -> None:
        guid, state = event.guid, event.what
        known = self.milestones[guid]
        if state == "READY" and self.state(guid) in ("STOPPED", "FINISHED"):
            self._occasions[guid] += 1
            for milestone in ("STARTED", "STOPPED", "FINISHED"):
                known.pop(milestone, None)
        self.turns[guid].append(Turn(place, state, event.time, event.step, self._occasions[guid]))
        alone = state == "FAILED" and self.critically(guid)
        for milestone in ("FAILED",) if alone else IMPLIED[state]:
            if milestone not in known:
                known[milestone] = event.time
                self.reached[guid, milestone].append(event.time)

    def state(self, guid: int) -> str:
        """The state that a resource is in at the end."""
        turns = self.turns.get(guid)
        return turns[-1].state if turns else "NEW"

    def entered(self, guid: int, *states: str) -> Turn | None:
        """When a resource entered one of these states first."""
        return next((turn for turn in self.turns.get(guid, ()) if turn.state in states), None)

    def ready(self, guid: int) -> float:
        """When a resource let go of its group's barrier."""
        turn = self.entered(guid, "READY", *ENDED)
        return turn.time if turn else math.inf

    def met(self, guid: int, milestone: str, offset: float, at: float) -> bool:
        """Whether a milestone had been reached, and the offset had passed, at that time."""
        return any(time + offset <= at for time in self.reached.get((guid, milestone), ()))

    # -- failures ---------------------------------------------------------------------------

    def critically(self, guid: int) -> bool:
        """Whether the failure of a resource is one that ends the experiment."""
        seen: set[int] = set()
        while (needed := self.needed(guid)) is not None and guid not in seen:
            seen.add(guid)
            if needed[1] != "failed":
                return False
            guid = needed[0]
        return self.history.parts[guid].critical

    def needed(self, guid: int) -> tuple[int, str] | None:
        """Whom a failed resource waited for in vain, and what became of that one."""
        record = self.history.end.resources.get(guid)
        message = str((record.error or {}).get("message", "")) if record else ""
        words = message.replace(",", "").split()
        if len(words) < 5 or words[0] != "needs":
            return None
        return int(words[1].rpartition("-")[2]), words[-1]
