"""Fisher's exact test, one-sided: does one group fail more often than another by chance?

Source: R. A. Fisher, "Statistical Methods for Research Workers" (5th edition, 1934), section 21.02.
With all margins of a table of two rows given, the number of failures in the first has a
hypergeometric distribution.
"""

from __future__ import annotations

from math import exp, fsum, lgamma


def tail(failed: int, total: int, other_failed: int, other_total: int) -> float:
    """Return the probability of at least ``failed`` failures in a group if both were alike.

    Args:
        failed: failures in the group.
        total: size of the group.
        other_failed: failures in the other group.
        other_total: size of the other group.

    Example:
        >>> round(tail(3, 4, 1, 4), 4)
        0.2429
    """
    failures = failed + other_failed
    whole = _log_choose(total + other_total, failures)
    return min(
        1.0,
        fsum(
            exp(_log_choose(total, k) + _log_choose(other_total, failures - k) - whole)
            for k in range(failed, min(total, failures) + 1)
            if failures - k <= other_total
        ),
    )


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
