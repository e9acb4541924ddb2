"""The fake of a clock, for tests of resource classes."""

from __future__ import annotations

from collections.abc import Callable


class FakeClock:
    """A clock that only moves by :meth:`advance`; call it to read it."""

    def __init__(self) -> None:
        self._now = 0.0
        self._events: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        """Return the seconds since the clock was created."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward and call the events that are due."""
        end = self._now + seconds
        while self._events and self._events[0][0] <= end:
            time, event = self._events.pop(0)
            self._now = max(self._now, time)
            event()
        self._now = end

    def at(self, moment: float, event: Callable[[], object]) -> None:
        """Call ``event`` when the clock is moved to a time or beyond it."""
        self._events.append((moment, event))
        self._events.sort(key=lambda item: item[0])
