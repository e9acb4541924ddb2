"""Durations as users write them, deadlines on the monotonic clock, and pauses that grow."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from ..errors import InvalidValue
from ..errors.text import LONGEST_VALUE, quoted

# In microseconds, so that one division rounds "10us" to the nearest float.
_UNITS = (("d", 86400e6), ("h", 3600e6), ("m", 60e6), ("s", 1e6), ("ms", 1e3), ("us", 1.0))
# Each unit at most once, larger before smaller: "1h30m", "2.5m", "500ms".
_TEXT = re.compile(
    r"\s*" + "".join(rf"(?:(\d+(?:\.\d*)?|\.\d+){unit}(?![a-z])\s*)?" for unit, _ in _UNITS),
    re.ASCII,
)
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?", re.ASCII)
_HINT = "write, for example, '500ms', '2s', '2.5m', '1h30m' or a number of seconds"


def seconds(value: str | float) -> float:
    """Return a duration in seconds.

    Args:
        value: a number of seconds, or text of numbers with the units ``d h m s ms us``, larger
            units first, each at most once: ``"2s"``, ``"2.5m"``, ``"500ms"``, ``"2m30s"``.

    Returns:
        Seconds, never negative.

    Raises:
        InvalidValue: the value is not a duration, negative, or not finite.

    Example:
        >>> seconds("2m30s"), seconds("500ms"), seconds(3)
        (150.0, 0.5, 3.0)
    """
    if isinstance(value, str):
        # A longer text is neither cached nor parsed.
        return _parse(value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE + 1])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue(f"{quoted(value)} is not a duration", hint=_HINT)
    try:
        return _finite(float(value), value)
    except OverflowError:
        return _finite(math.inf, value)


@lru_cache(maxsize=1024)
def _parse(text: str) -> float:
    match = _TEXT.fullmatch(text) if len(text) <= LONGEST_VALUE else None
    if match is None or match.lastindex is None:
        # As an argument of a command, a number is text too.
        hint = f"write '{text}s'" if _NUMBER.fullmatch(text) else _HINT
        raise InvalidValue(f"{quoted(text)} is not a duration", hint=hint)
    total = 0.0
    for amount, (_, unit) in zip(match.groups(), _UNITS, strict=True):
        if amount is not None:
            total += float(amount) * unit
    return _finite(total / 1e6, text)


def _finite(value: float, source: object) -> float:
    if not math.isfinite(value) or value < 0:
        raise InvalidValue(
            f"{quoted(source)} is not a duration: it must be finite and not negative"
        )
    return value


class Backoff(NamedTuple):
    """Pauses between attempts, each longer than the last by a factor, up to a limit.

    Attributes:
        first: seconds after the first failure.
        longest: seconds that no pause exceeds.
        factor: by which pauses grow.
    """

    first: float
    longest: float = math.inf
    factor: float = 2.0

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after that many failures in a row; 0.0 after none."""
        if failures < 1 or not self.first:
            return 0.0
        try:
            return min(self.longest, self.first * self.factor ** (failures - 1))
        except OverflowError:
            return self.longest


class Deadline:
    """A time limit as a moment on the monotonic clock, passed down through nested calls.

    Example:
        >>> deadline = Deadline.after("5s")
        >>> deadline.expired
        False
    """

    __slots__ = ("_at", "_clock")

    def __init__(self, at: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Set the deadline to a reading of ``clock``; prefer :meth:`after`."""
        self._at = at
        self._clock = clock

    @classmethod
    def after(
        cls, duration: str | float, *, clock: Callable[[], float] = time.monotonic
    ) -> Deadline:
        """Return a deadline some seconds (or ``"2m30s"``) from now; ``math.inf`` for none."""
        wait = duration if duration == math.inf else seconds(duration)
        return cls(clock() + float(wait), clock=clock)

    @property
    def remaining(self) -> float:
        """Seconds left; 0.0 once it has passed."""
        return max(0.0, self._at - self._clock())

    @property
    def expired(self) -> bool:
        """True once it has passed."""
        return self._clock() >= self._at

    def sooner(self, duration: str | float | None) -> Deadline:
        """Return the earlier of this deadline and one ``duration`` from now; this one for None."""
        if duration is None:
            return self
        other = Deadline.after(duration, clock=self._clock)
        return other if other.remaining < self.remaining else self

    def __repr__(self) -> str:
        """Return a text with the seconds left."""
        return f"Deadline({self.remaining:.3f}s left)"
