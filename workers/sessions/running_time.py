"""The time in which this process ran. A pause of its own is not the silence of a host.

A process that was stopped, or whose machine slept, finds on waking that much time has passed by
any clock, and that nothing has come meanwhile: not because others were silent, but because it
did not listen. So silences are measured by the ticks of a thread, of which each counts for
little, however long it took to come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ...controller.model.durations import Deadline

#: Seconds between two ticks, and what one counts for at most.
TICK, MOST = 0.5, 1.0


class RunningTime:
    """Counts the seconds in which this process ran. Safe to use from several threads.

    Args:
        clock: a clock that never goes back; it may go on while the process stands still.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._at = clock()
        self._ran = 0.0

    def tick(self) -> float:
        """Count what has passed since the last tick, as far as it counts; the seconds so far."""
        with self._lock:
            now = self._clock()
            self._ran += min(now - self._at, MOST)
            self._at = now
            return self._ran


_running = RunningTime()
_ticking: threading.Thread | None = None
_starting = threading.Lock()


def now() -> float:
    """Seconds that this process has run, from some moment on."""
    if _ticking is None or not _ticking.is_alive():
        _start()
    return _running.tick()


def after(seconds: float) -> Deadline:
    """A deadline that comes when this process has run for so long."""
    return Deadline.after(seconds, clock=now)


def _start() -> None:
    global _ticking  # noqa: PLW0603 - a process has one such time
    with _starting:
        if _ticking is None or not _ticking.is_alive():
            _running.tick()
            _ticking = threading.Thread(target=_tick, name="running-time", daemon=True)
            _ticking.start()


def _tick() -> None:
    while True:
        time.sleep(TICK)
        _running.tick()
