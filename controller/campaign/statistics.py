"""Statistics of repeated measurements: confidence interval of the mean, and convergence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

#: Maximum of twice the standard error, relative to the mean.
TOLERANCE = 0.05

_FEWEST = 2  # one sample has no deviation
# Quantiles 0.975 of Student's t for 1 to 9 degrees of freedom; above, an expansion is used.
_STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)
_NORMAL = 1.959964


def converged(samples: Sequence[float]) -> bool:
    """Return whether the mean of samples has converged, by NEPI's rule.

    Twice the standard error must be at most 5 % of the mean: ``2 * s / sqrt(n) <= 0.05 *
    mean``, with the standard deviation of the population. At least two samples are needed.
    """
    if len(samples) < _FEWEST:
        return False
    error = 2 * statistics.pstdev(samples) / math.sqrt(len(samples))
    return error <= TOLERANCE * abs(statistics.fmean(samples))


def interval(samples: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the mean (Student's t); None below two samples.

    Example:
        >>> interval([10.0, 12.0, 11.0, 11.0])
        (9.70079..., 12.29920...)
    """
    if len(samples) < _FEWEST:
        return None
    mean = statistics.fmean(samples)
    margin = _student(len(samples) - 1) * statistics.stdev(samples) / math.sqrt(len(samples))
    return mean - margin, mean + margin


def _student(freedom: int) -> float:
    """Return the factor of a 95 % confidence interval for some degrees of freedom."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = _NORMAL
    # Cornish-Fisher expansion, correct to four digits for these degrees of freedom.
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
