"""Tests of hypotheses on blocks of samples, by scipy: difference, equality within a margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from .blocks import Blocks
from .extras import library
from .precision import number_or_share
from .statistics import Interval

#: Relative spread below which numbers differ by rounding only.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Margin:
    """The greatest difference that does not matter.

    Attributes:
        size: in the unit of the metric, or relative to the mean of the first level.
        relative: True if it is relative.
    """

    size: float
    relative: bool

    @classmethod
    def parse(cls, value: str | float) -> Margin:
        """Return the margin from a number, or from text such as ``5%``.

        Raises:
            InvalidValue: it is not a positive number.
        """
        return cls(*number_or_share("margin", value))

    def __str__(self) -> str:
        return f"{100 * self.size:g}%" if self.relative else f"{self.size:g}"

    def around(self, samples: Sequence[float]) -> tuple[list[float], list[float]]:
        """Return samples moved to the lower, and to the upper end of the margin."""
        if self.relative:
            size = math.copysign(self.size, fmean(samples))
            low, high = ([value * end for value in samples] for end in (1 - size, 1 + size))
        else:
            low, high = ([value + end for value in samples] for end in (-self.size, self.size))
        return low, high


def difference_test(blocks: Blocks, confidence: float) -> tuple[float, Interval]:
    """Return the probability of such a difference by chance, and its confidence interval.

    By Student's t of the differences of pairs, or by Welch's t.
    """
    if _is_constant(blocks.first, blocks.second, paired=blocks.paired):
        size = fmean(blocks.second) - fmean(blocks.first)
        return _certain(math.isclose(size, 0, abs_tol=_scale(blocks))), (size, size)
    result = _test(blocks.second, blocks.first, "two-sided", paired=blocks.paired)
    low, high = result.confidence_interval(confidence)
    return float(result.pvalue), (float(low), float(high))


def equality_test(blocks: Blocks, margin: Margin) -> float:
    """Return the probability of such a small difference if the true one is beyond a margin.

    By two one-sided tests (D. J. Schuirmann, 1987): the greater probability of the two. A
    relative margin moves each sample of the first level, so that the uncertainty of its mean
    counts.
    """
    low, high = margin.around(blocks.first)
    return max(
        _one_sided(blocks.second, low, "greater", paired=blocks.paired),
        _one_sided(blocks.second, high, "less", paired=blocks.paired),
    )


def holm(values: Sequence[float]) -> list[float]:
    """Return probabilities adjusted for their number (S. Holm, 1979), in the order given."""
    adjusted = [0.0] * len(values)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = least
    return adjusted


def _one_sided(
    samples: Sequence[float], bounds: Sequence[float], alternative: str, *, paired: bool
) -> float:
    if _is_constant(samples, bounds, paired=paired):
        difference = fmean(samples) - fmean(bounds)
        return _certain(difference <= 0 if alternative == "greater" else difference >= 0)
    return float(_test(samples, bounds, alternative, paired=paired).pvalue)


def _test(
    samples: Sequence[float], others: Sequence[float], alternative: str, *, paired: bool
) -> Any:
    stats = library("scipy.stats", "statistics")
    if paired:
        return stats.ttest_rel(samples, others, alternative=alternative)
    return stats.ttest_ind(samples, others, equal_var=False, alternative=alternative)


def _is_constant(samples: Sequence[float], others: Sequence[float], *, paired: bool) -> bool:
    """Return whether there is no variance, as with simulations without random numbers."""
    rounding = _ROUNDING * max(map(abs, (*samples, *others)))
    if paired:
        differences = [one - other for one, other in zip(samples, others, strict=True)]
        return max(differences) - min(differences) <= rounding
    return all(max(values) - min(values) <= rounding for values in (samples, others))


def _scale(blocks: Blocks) -> float:
    return _ROUNDING * max(map(abs, (*blocks.first, *blocks.second)))


def _certain(is_true: bool) -> float:
    return 1.0 if is_true else 0.0
