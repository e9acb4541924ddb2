"""Precision of a metric: when the repetitions of a point suffice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean, median
from typing import Any

from ..errors import InvalidValue
from ..errors.text import quoted
from .statistics import Interval, interval, median_interval, share_interval

_PERCENT = "%"


@dataclass(frozen=True)
class Precision:
    """The precision at which a metric is known well enough at a point.

    Attributes:
        metric: name of the metric.
        within: greatest half-width of the confidence interval, in the unit of the metric, or
            relative to the estimate.
        relative: True if ``within`` is relative.
        of: ``mean`` (interval by Student's t), ``median`` (by order statistics) or ``share`` (of
            samples that are not 0 or False; by Wilson).
        confidence: the confidence of the interval.
    """

    metric: str
    within: float
    relative: bool = False
    of: str = "mean"
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidValue: one of them is impossible.
        """
        if self.of not in _ESTIMATES:
            raise InvalidValue(
                f"of cannot be {quoted(self.of)}", hint="choose " + ", ".join(_ESTIMATES)
            )
        if not _is_number(self.within) or self.within <= 0:
            raise InvalidValue("within must be a positive number")
        if not _is_number(self.confidence) or not 0 < self.confidence < 1:
            raise InvalidValue("confidence must be between 0 and 1", hint="as 0.95")

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Precision:
        """Return the precision in a document; ``within`` with a percent sign is relative.

        Raises:
            InvalidValue: a key is missing or unknown, or a value is impossible.
        """
        known = ("metric", "within", "of", "confidence")
        for name in document:
            if name not in known:
                raise InvalidValue(f"unknown key {quoted(name)}", hint="write " + ", ".join(known))
        for name in known[:2]:
            if name not in document:
                raise InvalidValue(f"{name!r} is missing")
        within, relative = number_or_share("within", document["within"])
        return cls(**{**document, "within": within, "relative": relative})

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        percent = f"{(Decimal(repr(self.within)) * 100).normalize():f}{_PERCENT}"
        within = percent if self.relative else self.within
        document = {"metric": self.metric, "within": within}
        return {**document, "of": self.of, "confidence": self.confidence}

    def estimate(self, samples: Sequence[float]) -> float | None:
        """Return the estimate from samples; None for no samples."""
        return _ESTIMATES[self.of][0](samples) if samples else None

    def interval(self, samples: Sequence[float]) -> Interval | None:
        """Return the confidence interval; None if there are too few samples."""
        return _ESTIMATES[self.of][1](samples, self.confidence)

    def is_reached(self, samples: Sequence[float]) -> bool:
        """Return whether the confidence interval is narrow enough."""
        estimate, bounds = self.estimate(samples), self.interval(samples)
        if estimate is None or bounds is None:
            return False
        limit = self.within * abs(estimate) if self.relative else self.within
        return (bounds[1] - bounds[0]) / 2 <= limit


def number_or_share(name: str, value: Any) -> tuple[float, bool]:
    """Return a positive number from a number or ``5%``, and whether it is relative.

    Raises:
        InvalidValue: it is not; the message has the name.
    """
    relative = isinstance(value, str) and value.strip().endswith(_PERCENT)
    if relative:
        try:
            value = float(Decimal(value.strip().removesuffix(_PERCENT)) / 100)
        except ArithmeticError:
            raise InvalidValue(f"{name} cannot be {quoted(value)}", hint="as 5%") from None
    if not _is_number(value) or not 0 < value < math.inf:
        raise InvalidValue(f"{name} must be a positive number", hint="as 0.5, or 5%")
    return value, relative


def _share(samples: Sequence[float]) -> float:
    return sum(map(bool, samples)) / len(samples)


def _interval_of_share(samples: Sequence[float], confidence: float) -> Interval | None:
    return share_interval(sum(map(bool, samples)), len(samples), confidence)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_ESTIMATES: Mapping[
    str,
    tuple[
        Callable[[Sequence[float]], float],
        Callable[[Sequence[float], float], Interval | None],
    ],
] = {
    "mean": (fmean, interval),
    "median": (median, median_interval),
    "share": (_share, _interval_of_share),
}
