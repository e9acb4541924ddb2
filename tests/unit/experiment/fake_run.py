"""A run that only tells what a test has put into it; no Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from nepiq.controller.engine import Event
from nepiq.controller.engine.store.records import Snapshot


class FakeRun:
    """States and a stream of events, as :class:`nepiq.controller.engine.Run` gives them."""

    run_id = "20260101000000000000"

    def __init__(self, states: dict[int, str]) -> None:
        self.states = dict(states)
        self.phase = "RUNNING"
        self.cause: dict[str, Any] | None = None
        self.stream: list[Event] = []
        self.steps: dict[str, Any] = {}
        self.snapshots = 0
        self.before_events: list[Callable[[], None]] = []
        self._changed = threading.Condition()

    def happen(self, guid: int, what: str, **more: Any) -> None:
        """A state of a resource, or a phase of the run (guid 0)."""
        with self._changed:
            event = Event(str(len(self.stream) + 1), time.time(), guid, what, **more)
            self.stream.append(event)
            if guid:
                self.states[guid] = what
            else:
                self.phase = what
            self._changed.notify_all()

    def snapshot(self, guids: Sequence[int] | None = None) -> Snapshot:
        self.snapshots += 1
        known = self.states if guids is None else {g: self.states[g] for g in guids}
        return Snapshot(str(len(self.stream)), self.phase, self.cause, dict(known))

    def events(self, after: str, block: float = 0.0) -> list[Event]:
        if self.before_events:
            self.before_events.pop(0)()
        with self._changed:
            if len(self.stream) <= int(after):
                self._changed.wait(block)
            return self.stream[int(after) :]

    def step(self, step: str) -> Any:
        return self.steps.get(step)

    def record(self, guid: int) -> Any:
        return SimpleNamespace(label=f"r{guid}", state=self.states[guid], error=None)
