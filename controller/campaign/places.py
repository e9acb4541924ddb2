"""The places in the order of a campaign: the point, the repetition and the seed of each run."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .segment import Segment
from .space import point_id, run_seed


class Place(NamedTuple):
    """A run of a campaign, before it is begun.

    Attributes:
        point: values of its parameters.
        repetition: counted from 1.
        seed: of its random numbers.
    """

    point: Mapping[str, Any]
    repetition: int
    seed: int

    @property
    def values(self) -> dict[str, Any]:
        """The names that a template may use, with their values."""
        return {**self.point, "seed": self.seed, "repetition": self.repetition}


class Places:
    """The places in the order of a campaign, by the number of their slot.

    Args:
        segments: the spaces, in their order.
        seed: of the seeds of the runs.
        independent: True if the seeds differ from point to point.
    """

    def __init__(self, segments: Sequence[Segment], seed: int, *, independent: bool) -> None:
        self._segments = segments
        self._seed = seed
        self._independent = independent
        self._ends = list(itertools.accumulate(map(len, segments)))
        counts = (0 if item.of is not None else len(item.space) for item in segments)
        self._points = list(itertools.accumulate(counts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, slot: int) -> Place:
        number, index, repetition = self._find(slot)
        point = self._segments[number].space[index]
        of_point = point_id(point) if self._independent else None
        return Place(point, repetition + 1, run_seed(self._seed, repetition, of_point))

    def point(self, slot: int) -> int:
        """Return the number of the point of a slot, among those of all spaces."""
        number, index, _ = self._find(slot)
        repeated = self._segments[number].of
        if repeated is not None:
            number = repeated
        return (self._points[number - 1] if number else 0) + index

    def _find(self, slot: int) -> tuple[int, int, int]:
        """Return the space of a slot, and the point and the repetition in it, all from 0."""
        number = bisect.bisect_right(self._ends, slot)
        first = self._ends[number - 1] if number else 0
        return number, *self._segments[number][slot - first]
