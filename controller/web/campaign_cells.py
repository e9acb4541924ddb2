"""The cells of a campaign's page: the state of each repetition of each point."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..campaign.segment import Segment
from ..campaign.space import point_id
from .rows import safe

if TYPE_CHECKING:
    from ..campaign.row import Row

MOST_RUNS = 200_000
"""Runs of a campaign beyond which its page has no cells."""

WAITING, ACTIVE, UNMEASURED, UNNEEDED = ".", "a", "m", "-"
LETTERS = {"finished": "f", "failed": "x", "cancelled": "c"}


class Cells:
    """A letter for each repetition of each point, those of a point in a row.

    ``f`` finished, ``x`` failed, ``c`` cancelled, ``a`` active, ``m`` waiting for a script that
    measures it, ``-`` not needed, ``.`` waiting to begin.

    Args:
        segments: the spaces of the campaign, as its store returns them.

    Attributes:
        shape: number of points and of repetitions of each space; empty if there are too many.
    """

    def __init__(self, segments: Sequence[Mapping[str, Any]]) -> None:
        found = [Segment(segment) for segment in segments]
        self._segments = found if sum(map(len, found)) <= MOST_RUNS else []
        # Further repetitions of a space have their cells in its rows.
        of_space = [number for number, one in enumerate(self._segments) if one.of is None]
        spaces = [self._segments[number].space for number in of_space]
        self._spaces = [
            of_space.index(number if one.of is None else one.of)
            for number, one in enumerate(self._segments)
        ]
        ends = [0] * len(spaces)
        for number, one in zip(self._spaces, self._segments, strict=True):
            ends[number] = max(ends[number], one.end)
        self.shape = [(len(space), end) for space, end in zip(spaces, ends, strict=True)]
        self._slots = [0, *itertools.accumulate(map(len, self._segments))]
        self._points = [0, *itertools.accumulate(points for points, _ in self.shape)]
        self._cells = [0, *itertools.accumulate(points * end for points, end in self.shape)]
        self._index = {point_id(point): n for n, point in enumerate(itertools.chain(*spaces))}
        self._ended = bytearray(WAITING.encode() * self._cells[-1])
        self._shown = bytearray(self._ended)
        self._positions = [""] * self._cells[-1]
        self._runs: dict[int, str] = {}
        self._enough: set[int] = set()

    def __len__(self) -> int:
        """Return the number of points."""
        return self._points[-1]

    @property
    def letters(self) -> str:
        """The letters of all cells."""
        return self._shown.decode()

    def parameters(self) -> dict[str, Any]:
        """Return the names of the parameters, and their values at each point."""
        spaces = [one.space for one in self._segments if one.of is None]
        names = list(dict.fromkeys(n for space in spaces for n in space.parameters))
        points = [[safe(point.get(name)) for name in names] for point in itertools.chain(*spaces)]
        return {"names": names, "points": points}

    def point(self, row: Row) -> int | None:
        """Return the number of a row's point; None if it has no cell."""
        return self.number(row.point)

    def number(self, point: str) -> int | None:
        """Return the number of a point by its id; None if it has no cell."""
        return self._index.get(point)

    def runs(self, point: int) -> list[tuple[int, str, str, str]]:
        """Return repetition, letter, run under way and position in the history of each run."""
        cells = self._of(point)
        return [
            (
                cell - cells.start + 1,
                chr(self._shown[cell]),
                self._runs.get(cell, ""),
                self._positions[cell],
            )
            for cell in cells
        ]

    def add(self, row: Row, position: str) -> None:
        """Add a row, which is at a position of the history."""
        index = self.point(row)
        if index is not None and 0 < row.repetition <= len(cells := self._of(index)):
            cell = cells[row.repetition - 1]
            self._ended[cell] = ord(LETTERS[row.outcome])
            self._positions[cell] = position

    def update(
        self, active: Mapping[str, int], unmeasured: Mapping[str, int], enough: Iterable[int]
    ) -> list[tuple[int, str]]:
        """Take over what is under way, and return the cells that have changed since the last time.

        Args:
            active: number of the slot by run.
            unmeasured: the same, of runs that wait for a script that measures them.
            enough: points of which no further run is needed.
        """
        self._enough |= set(enough)
        now = {
            self._cell(slot): (run, letter)
            for runs, letter in ((unmeasured, UNMEASURED), (active, ACTIVE))
            for run, slot in runs.items()
            if slot < self._slots[-1]
        }
        self._runs = {cell: run for cell, (run, _) in now.items()}
        shown = bytearray(self._ended)
        for point in self._enough:
            for cell in self._of(point):
                if shown[cell] == ord(WAITING):
                    shown[cell] = ord(UNNEEDED)
        for cell, (_, letter) in now.items():
            if self._ended[cell] == ord(WAITING):
                shown[cell] = ord(letter)
        changed = []
        if shown != self._shown:
            pairs = enumerate(zip(shown, self._shown, strict=True))
            changed = [(cell, chr(new)) for cell, (new, old) in pairs if new != old]
        self._shown = shown
        return changed

    def _of(self, point: int) -> range:
        """Return the cells of a point."""
        number = bisect.bisect_right(self._points, point) - 1
        repetitions = self.shape[number][1]
        first = self._cells[number] + (point - self._points[number]) * repetitions
        return range(first, first + repetitions)

    def _cell(self, slot: int) -> int:
        number = bisect.bisect_right(self._slots, slot) - 1
        point, repetition = self._segments[number][slot - self._slots[number]]
        space = self._spaces[number]
        return self._cells[space] + point * self.shape[space][1] + repetition
