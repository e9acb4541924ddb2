"""Formatting of times, sizes, counts and lists as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone


def duration(seconds: float) -> str:
    """Format a duration with three digits or two units: ``340 ms``, ``2.5 s``, ``3 min 20 s``."""
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 99.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def roughly(middle: float, low: float, high: float) -> tuple[str, str, str]:
    """Format an estimated duration with two digits, and the ends of its range in the same unit.

    Example:
        >>> roughly(740.0, 530.0, 980.0)
        ('12 min', '8.8', '16')
    """
    units = ((90.0, 1.0, "s"), (5400.0, 60.0, "min"), (129_600.0, 3600.0, "h"))
    step, name = next(((step, name) for end, step, name in units if middle < end), (86_400.0, "d"))
    texts = [f"{two_digits(value / step):g}" for value in (middle, low, high)]
    return f"{texts[0]} {name}", texts[1], texts[2]


def clock(moment: float) -> str:
    """Format seconds since the epoch as local date and time."""
    local = datetime.fromtimestamp(moment, timezone.utc).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S")


def size(count: int) -> str:
    """Format a number of bytes: ``512 B``, ``3.1 kB``, ``20 MB``."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def number(value: float, margin: float | None = None, *, signed: bool = False) -> str:
    """Format a number with four digits, and its margin: ``12.34``, ``18.41 ± 0.0025 M``."""
    step, prefix = _scale(value)
    margins = "" if margin is None else f" ± {two_digits(margin / step):g}"
    return f"{_digits(value / step, signed)}{margins}{prefix}"


def bounds(low: float, high: float) -> str:
    """Format the bounds of a difference in one unit: ``-0.204 to +1.31 M``."""
    step, prefix = _scale(max(low, high, key=abs))
    return f"{_digits(low / step, signed=True)} to {_digits(high / step, signed=True)}{prefix}"


def two_digits(value: float) -> float:
    """Round to two digits; the format ``.2g`` alone writes 110 as 1.1e+02."""
    return float(f"{value:.2g}")


def _digits(value: float, signed: bool) -> str:
    return f"{value:+.4g}" if signed else f"{value:.4g}"


def _scale(value: float) -> tuple[float, str]:
    """Return the divisor of a number, and the prefix that stands for it."""
    prefixes, step = ["", "k", "M", "G", "T"], 1.0
    if abs(value) >= 9999.5:
        while step == 1.0 or (abs(value) >= 999.95 * step and len(prefixes) > 1):
            del prefixes[0]
            step *= 1000
    return step, f" {prefixes[0]}" if prefixes[0] else ""


def some(names: Sequence[str], shown: int = 3) -> str:
    """Join the first names of a list: ``a, b, c and 4 more``."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def plural(count: int, noun: str) -> str:
    """Format a count with its noun: ``1 run``, ``3 runs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
