"""The order of the runs of a campaign, and their seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from .permutation import Permutation


class Order:
    """The sequence of the runs of a campaign as pairs of a point and a repetition.

    It consists of blocks of one repetition of every point, so that half a campaign covers the
    space. Within a block the seed shuffles the points, so that a drift of the testbed is not
    mistaken for an effect of a parameter. Positions are computed without a list. More repetitions
    add blocks at the end and change none.

    Args:
        points: number of points.
        repetitions: number of repetitions of each point.
        seed: the seed; None for points in their own order.
    """

    __slots__ = ("_block", "points", "repetitions", "seed")

    def __init__(self, points: int, repetitions: int, seed: int | None) -> None:
        self.points = points
        self.repetitions = repetitions
        self.seed = seed
        self._block: tuple[int, Permutation] | None = None

    def __len__(self) -> int:
        return self.points * self.repetitions

    def __getitem__(self, position: int) -> tuple[int, int]:
        """Return the index of the point and the repetition, both from 0, at a position.

        Raises:
            IndexError: there is no such position.
        """
        if not 0 <= position < len(self):
            raise IndexError(position)
        repetition, place = divmod(position, self.points)
        if self.seed is None:
            return place, repetition
        return self._shuffled(repetition)[place], repetition

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return (self[position] for position in range(len(self)))

    def position(self, point: int, repetition: int) -> int:
        """Return the position of a run.

        Raises:
            IndexError: there is no such point or repetition.
        """
        if not (0 <= point < self.points and 0 <= repetition < self.repetitions):
            raise IndexError((point, repetition))
        if self.seed is not None:
            point = self._shuffled(repetition).inverse(point)
        return repetition * self.points + point

    def _shuffled(self, repetition: int) -> Permutation:
        block = self._block
        if block is None or block[0] != repetition:
            block = (repetition, Permutation(self.points, f"order:{self.seed}:{repetition}"))
            self._block = block
        return block[1]


def run_seed(campaign_seed: int, repetition: int, point: str | None = None) -> int:
    """Return the seed of the random numbers of a run, from 1 to 2**31 - 1.

    Args:
        campaign_seed: the seed of the campaign.
        repetition: the repetition, from 0.
        point: None for the same seed at all points, so that differences between points are not
            those of their random numbers; or the id of the point, for independent seeds.
    """
    text = f"run:{campaign_seed}:{repetition}:{point or ''}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return number % (2**31 - 1) + 1
