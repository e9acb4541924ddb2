"""Statistics of repeated measurements: the mean, how sure it is, when it is sure enough."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

#: How far from the mean its 95 % confidence interval may reach, as a share of it.
TOLERANCE = 0.05

_FEWEST = 2  # one sample says nothing about how far others would be from it
# Quantiles 0.975 of Student's t for 1 to 9 degrees of freedom; an expansion is good from there.
_STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)
_NORMAL = 1.959964


def converged(samples: Sequence[float]) -> bool:
    """True if the mean of samples is known well enough, by NEPI's rule.

    It is if twice the standard error is at most 5 % of the mean: ``2 * s / sqrt(n) <= 0.05 *
    mean``, with the standard deviation of the population. There must be two samples at least.
    """
    if len(samples) < _FEWEST:
        return False
    error = 2 * statistics.pstdev(samples) / math.sqrt(len(samples))
    return error <= TOLERANCE * abs(statistics.fmean(samples))


def interval(samples: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % confidence interval of the mean, by Student's t; None for fewer than two samples.

    Example:
        >>> interval([10.0, 12.0, 11.0, 11.0])
        (9.70079..., 12.29920...)
    """
    if len(samples) < _FEWEST:
        return None
    mean = statistics.fmean(samples)
    reach = _student(len(samples) - 1) * statistics.stdev(samples) / math.sqrt(len(samples))
    return mean - reach, mean + reach


def _student(freedom: int) -> float:
    """The factor of a 95 % confidence interval for so many degrees of freedom."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = _NORMAL
    # Cornish and Fisher's expansion: right to four digits here.
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
