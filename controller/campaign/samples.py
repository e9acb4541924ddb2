"""Samples: plain values from what programs print, and one value from several."""

from __future__ import annotations

import math
import numbers
import re
import statistics
from collections.abc import Callable, Sequence

from ..errors.text import one_line, quoted
from .row import LONGEST_TEXT, Value

ONLY, COUNT = "only", "count"

_NUMBERS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "min": min,
    "max": max,
    "sum": lambda values: (
        sum(values) if all(isinstance(v, int) for v in values) else math.fsum(values)
    ),
}
#: The ways to get one value from several.
TAKES = (ONLY, "first", "last", *_NUMBERS, COUNT)

#: The kinds of values, by name.
KINDS: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}

_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_BOOLS = {"true": True, "false": False}


class Text(str):
    """A value that a program has written as text, so that its kind is to be guessed."""

    __slots__ = ()


def take(values: Sequence[object], way: str, kind: str = "") -> Value:
    """Return one value from several.

    Args:
        values: the values, at least one unless ``way`` is ``count``.
        way: one of :data:`TAKES`.
        kind: kind of the result, as for :func:`plain`; for statistics that of each value.

    Raises:
        ValueError: ``only`` has several values, or a value is not of the kind.
    """
    if way == COUNT:
        return len(values)
    if way == ONLY and len(values) > 1:
        raise ValueError(f"{len(values)} values match; choose one by take=, such as first or mean")
    if way not in _NUMBERS:
        return plain(values[-1 if way == "last" else 0], kind)
    samples = []
    for value in values:
        sample = plain(value, kind)
        if not isinstance(sample, int | float) or isinstance(sample, bool):
            raise ValueError(f"{quoted(sample)} is not a number")  # noqa: TRY004 - one error
        samples.append(sample)
    return _NUMBERS[way](samples)


def plain(value: object, kind: str = "") -> Value:
    """Return a value as a plain int, float, str or bool; None stays None.

    Args:
        value: the value. NumPy's scalars are among the accepted ones.
        kind: one of :data:`KINDS`; empty to keep the kind, and to guess that of a :class:`Text`.

    Raises:
        ValueError: it is not a scalar, not finite, or not of the kind.
    """
    if value is None:
        return None
    if isinstance(value, Text):
        value = guessed(value) if kind in ("", "bool") else str(value)
    if kind == "str" or isinstance(value, str):
        return _of_text(value, kind)
    # NumPy's bool is registered as no number, and converts itself.
    if type(value).__name__ in ("bool", "bool_"):
        return bool(value) if kind in ("", "bool") else _of_number(int(bool(value)), kind)
    if not isinstance(value, numbers.Real):
        raise ValueError(f"{quoted(value)} is not a number, text or truth value")  # noqa: TRY004
    if kind == "bool":
        if value not in (0, 1):
            raise ValueError(f"{quoted(value)} is not a truth value")
        return bool(value)
    number = int(value) if isinstance(value, numbers.Integral) else float(value)
    return _of_number(number, kind)


def guessed(text: str) -> int | float | bool | str:
    """Return text as a number or truth value if it is one."""
    text = text.strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return _BOOLS.get(text.lower(), str(text))


def _of_text(value: object, kind: str) -> Value:
    text = str(value).strip()
    if kind in ("", "str"):
        return one_line(text, LONGEST_TEXT)
    guess = guessed(text)
    if kind == "bool" and isinstance(guess, bool):
        return guess
    if kind == "bool" or isinstance(guess, bool | str):
        raise ValueError(f"{quoted(text)} is not of kind {kind}")
    return _of_number(guess, kind)


def _of_number(number: int | float, kind: str) -> Value:
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"{number} is not finite")
    if kind == "int":
        if number != int(number):
            raise ValueError(f"{number} is not a whole number")
        return int(number)
    return float(number) if kind == "float" else number
