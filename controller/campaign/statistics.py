"""Statistics of repeated measurements: confidence intervals, and convergence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

#: Maximum of twice the standard error, relative to the mean.
TOLERANCE = 0.05

_FEWEST = 2  # one sample has no deviation
#: Degrees of freedom above which an expansion is used, correct to eight digits there.
_MANY = 200

Interval = tuple[float, float]


def converged(samples: Sequence[float]) -> bool:
    """Return whether the mean of samples has converged, by NEPI's rule.

    Twice the standard error must be at most 5 % of the mean: ``2 * s / sqrt(n) <= 0.05 *
    mean``, with the standard deviation of the population. At least two samples are needed.
    """
    if len(samples) < _FEWEST:
        return False
    error = 2 * statistics.pstdev(samples) / math.sqrt(len(samples))
    return error <= TOLERANCE * abs(statistics.fmean(samples))


def interval(samples: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Return the confidence interval of the mean (Student's t); None below two samples.

    Example:
        >>> interval([10.0, 12.0, 11.0, 11.0])
        (9.70078..., 12.29921...)
    """
    if len(samples) < _FEWEST:
        return None
    mean = statistics.fmean(samples)
    factor = student(len(samples) - 1, confidence)
    margin = factor * statistics.stdev(samples) / math.sqrt(len(samples))
    return mean - margin, mean + margin


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Return the confidence interval of the median: two samples, chosen by their rank.

    It makes no assumption on the distribution. The number of samples below the median is
    binomial; the interval is the narrowest symmetric one that has at least the confidence.

    Returns:
        The interval; None if there are too few samples, at 95 % fewer than six.
    """
    rank = _rank(len(samples), confidence)
    ordered = sorted(samples)
    return (ordered[rank - 1], ordered[-rank]) if rank else None


def share_interval(successes: int, total: int, confidence: float = 0.95) -> Interval | None:
    """Return the confidence interval of a share by E. B. Wilson (1927); None for no samples."""
    if not total:
        return None
    z = _normal(confidence)
    share = successes / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    variance = share * (1 - share) / total + z**2 / (4 * total**2)
    margin = z * math.sqrt(variance) / (1 + z**2 / total)
    return max(middle - margin, 0.0), min(middle + margin, 1.0)


@lru_cache(maxsize=1000)
def student(freedom: int, confidence: float) -> float:
    """Return the factor of a confidence interval by Student's t for some degrees of freedom."""
    if freedom > _MANY:
        z = _normal(confidence)
        # Cornish-Fisher expansion (Abramowitz and Stegun, 26.7.5).
        return (
            z
            + (z**3 + z) / (4 * freedom)
            + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
            + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
        )
    low, high = 0.0, 1.0
    while _within(high, freedom) < confidence:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """Return the probability that Student's t is between ``-t`` and ``t`` (ibid., 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    term = total = math.cos(angle) if freedom % 2 else 1.0
    for number in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= square * (number - 1) / number
        total += term
    if freedom % 2:
        return 2 / math.pi * (angle + (sine * total if freedom > 1 else 0.0))
    return sine * total


@lru_cache(maxsize=1000)
def _rank(count: int, confidence: float) -> int:
    """Return the rank, from 1, of the lower end of an interval of the median; 0 for none."""
    below, rank, combinations = 0, 0, 1
    # As an integer: 2**1024 is no float.
    limit = math.floor(Fraction((1 - confidence) / 2) * 2**count)
    while rank < (count + 1) // 2:
        below += combinations
        if below > limit:
            break
        rank += 1
        combinations = combinations * (count - rank + 1) // rank
    return rank


def _normal(confidence: float) -> float:
    return statistics.NormalDist().inv_cdf((1 + confidence) / 2)
