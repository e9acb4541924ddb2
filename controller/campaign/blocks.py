"""Blocks: the samples of two levels that a comparison sets against each other.

A block is one repetition: the mean of a metric over the points that both levels have. So the
points, which differ by design, add nothing to the variance, and runs with a common seed count as
one observation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

#: The runs of a level: by point and repetition the seed and the value of a metric.
Runs = Mapping[str, Mapping[int, tuple[int, float]]]

_FEWEST = 2


class NotComparable(Exception):
    """Two levels cannot be compared; the text is the reason."""


@dataclass(frozen=True)
class Blocks:
    """Samples of a metric at two levels.

    Attributes:
        first: a number for each block of the first level.
        second: a number for each block of the second level.
        paired: True if the numbers at the same place have the same seeds.
        runs: number of runs in the blocks of both levels together.
        unused: number of runs that are in no block.
    """

    first: list[float]
    second: list[float]
    paired: bool
    runs: int
    unused: int


def match(first: Runs, second: Runs, paired: bool | None = None) -> Blocks:
    """Return the blocks of two levels.

    Args:
        first: the runs of the first level.
        second: the runs of the second level.
        paired: whether each block of one level belongs to one of the other; by default if the
            seeds are common.

    Raises:
        NotComparable: there are no common points or, with ``paired``, no common seeds, or fewer
            than two blocks.
    """
    points = [point for point in first if first[point] and second.get(point)]
    if not points:
        raise NotComparable("no common points")
    if paired is None:
        paired = _have_common_seeds(first, second, points)
    elif paired and not _have_common_seeds(first, second, points):
        raise NotComparable("no common seeds")
    if paired:
        pairs = _pairs(first, second, points)
        samples = [[fmean(values) for values in side] for side in pairs]
        used = sum(len(values) for side in pairs for values in side)
    else:
        samples = [_means(runs, points) for runs in (first, second)]
        used = sum(map(len, samples)) * len(points)
    if min(map(len, samples)) < _FEWEST:
        raise NotComparable("fewer than two repetitions")
    total = sum(len(runs[point]) for runs in (first, second) for point in runs)
    return Blocks(samples[0], samples[1], paired, used, total - used)


def _have_common_seeds(first: Runs, second: Runs, points: list[str]) -> bool:
    seeds = [
        (first[point][repetition][0], second[point][repetition][0])
        for point in points
        for repetition in first[point]
        if repetition in second[point]
    ]
    return bool(seeds) and all(one == other for one, other in seeds)


def _pairs(
    first: Runs, second: Runs, points: list[str]
) -> tuple[list[list[float]], list[list[float]]]:
    """Return the values of each repetition at the points where both levels have it."""
    ones, others = defaultdict(list), defaultdict(list)
    for point in points:
        for repetition, (_, value) in first[point].items():
            if repetition in second[point]:
                ones[repetition].append(value)
                others[repetition].append(second[point][repetition][1])
    return list(ones.values()), list(others.values())


def _means(runs: Runs, points: list[str]) -> list[float]:
    """Return the mean over all points of each repetition that all of them have."""
    repetitions = set.intersection(*(set(runs[point]) for point in points))
    return [
        fmean(runs[point][repetition][1] for point in points) for repetition in sorted(repetitions)
    ]
