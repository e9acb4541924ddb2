"""The time that a campaign takes until its end, estimated from the durations of its runs.

Durations differ by point: a point that has been measured is expected to take its mean again, one
that has not takes the mean of the others. What is left, in seconds of runs, is divided by the
number of runs that are under way at a time, which *parallel* or the free hosts limit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..engine.campaign_history import START
from ..errors import NepiqError
from ..reports.words import roughly
from . import history
from .row import Row
from .segment import Segment
from .statistics import student

if TYPE_CHECKING:
    from ..engine.campaign_records import CampaignRecord
    from ..engine.campaigns import CampaignStore

CONFIDENCE = 0.95
"""How often the range is to hold the truth."""

_FEWEST = 3  # runs before which nothing is said
_RECENT = 200  # runs from which the number of them at a time is measured
_WORST = 3.0  # more than this many deviations say nothing more
_DRIFT = 0.05  # relative deviation of what no history shows: hosts that become slower, failures
_UNKNOWN = 0.5  # relative deviation between points, as long as there is only one


class Left(NamedTuple):
    """The time until the end of a campaign, and its range.

    Attributes:
        seconds: the estimate.
        low, high: ends of the range that is to hold the truth in 95 % of campaigns.
        at_most: True if a rule of stopping may make runs needless, and it ends earlier.
    """

    seconds: float
    low: float
    high: float
    at_most: bool = False

    def __str__(self) -> str:
        """Return it for people: ``about 12 min left (9 to 16)``."""
        middle, low, high = roughly(self.seconds, self.low, self.high)
        return f"{'at most' if self.at_most else 'about'} {middle} left ({low} to {high})"


@dataclass
class _Point:
    """The runs of one point that have ended.

    Attributes:
        left: number of its runs that have not.
        known: number of durations.
        mean: of the durations, in seconds.
    """

    left: int
    known: int = 0
    mean: float = 0.0


class TimeLeft:
    """Estimates the time until a campaign ends.

    Args:
        segments: the spaces of the campaign, as its store returns them.
        decides: True if a rule of stopping decides whether points need further runs.
        total: number of runs of the campaign that these are.

    Attributes:
        rows: number of rows so far.
        total: as given.
    """

    def __init__(
        self,
        segments: Sequence[Mapping[str, Any]] = (),
        *,
        decides: bool = False,
        total: int = 0,
    ) -> None:
        self.rows = 0
        self.total = total
        self._position = START
        self._decides = decides
        self._repetitions, self._others = _repetitions(segments)
        self._points: dict[str, _Point] = {}
        # Sums over points with a duration: a row costs the same however many points there are.
        self._known = 0  # durations
        self._measured = 0  # points
        self._means = self._squares = 0.0
        self._work = self._runs = self._spread = 0.0
        self._within = 0.0
        self._longest = 0.0
        self._ends: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self._since = 0  # rows since something has interrupted them
        self._parallel = 0

    @classmethod
    def of(cls, store: CampaignStore, record: CampaignRecord) -> TimeLeft:
        """Return the time that a campaign takes, before any of its rows."""
        definition = store.definition() or {}
        decides = bool(definition.get("stop") or definition.get("asks"))
        return cls(store.segments(), decides=decides, total=record.total)

    @classmethod
    def at(cls, record: CampaignRecord, store: CampaignStore, known: TimeLeft | None) -> TimeLeft:
        """Return that of a campaign with its rows so far.

        Args:
            record: the campaign.
            store: its records.
            known: an earlier answer, to read new rows only.
        """
        # A retry deletes rows; points or repetitions were added.
        if known is None or known.rows > record.done or known.total != record.total:
            known = cls.of(store, record)
        known.read(store)
        return known

    # -- the history --------------------------------------------------------------------------

    def read(self, store: CampaignStore) -> None:
        """Take over what is new in the history of the campaign."""
        for entry in history.entries(store, self._position):
            self._position = entry.id
            if entry.row:
                self.add(Row.from_json(entry.row))
            elif entry.phase:
                self.interrupt()

    def add(self, row: Row) -> None:
        """Add a row of the campaign."""
        self.rows += 1
        # Where the repetitions are unknown, each run counts as a point of its own.
        name = row.point if self._repetitions else row.run_id
        point = self._points.get(name)
        if point is None:
            point = self._points[name] = _Point(self._others.get(name, self._repetitions or 1))
        self._count(point, -1)
        point.left = max(0, point.left - 1)
        if row.duration is not None and row.ended is not None:
            self._add_duration(point, row.duration)
            self._ends.append((row.ended, row.duration))
            self._since += 1
        self._count(point, 1)

    def interrupt(self) -> None:
        """Forget how many runs were under way at a time: that begins to change."""
        self._ends.clear()
        self._since = 0

    # -- estimates ----------------------------------------------------------------------------

    @property
    def rate(self) -> float | None:
        """Runs per second, of the last 200; None if it is unknown."""
        ends = [end for end, _ in self._ends]
        if len(ends) < 2 or (first := min(ends)) >= (last := max(ends)):
            return None
        return (len(ends) - 1) / (last - first)

    def until_end(self, record: CampaignRecord) -> Left | None:
        """Return the time until the campaign ends; None if it is unknown, or nothing goes on."""
        if record.parallel != self._parallel:
            if self._parallel:
                self.interrupt()
            self._parallel = record.parallel
        count = record.total - record.done - record.skipped - record.waiting
        if record.phase != "running" or count <= 0 or self._known < _FEWEST or not self._means:
            return None
        work, variance = self._work_left(count)
        places, measured = self._places(record)
        places = min(places, count)
        if measured:
            variance += work**2 * self._deviation() ** 2 / measured
        seconds = work / places
        # The last runs do not end together.
        tail = self._longest * (1 - 1 / max(1.0, places))
        deviation = math.sqrt(variance / work**2 + _DRIFT**2 + (tail / seconds) ** 2 / 12)
        factor = min(_WORST, student(self._known - 1, CONFIDENCE))
        ratio = math.exp(factor * deviation)
        return Left(seconds, seconds / ratio, seconds * ratio, self._decides)

    # -- inside -------------------------------------------------------------------------------

    def _add_duration(self, point: _Point, seconds: float) -> None:
        self._known += 1
        point.known += 1
        before = seconds - point.mean
        point.mean += before / point.known
        self._within += before * (seconds - point.mean)
        self._longest = max(self._longest, point.mean)

    def _count(self, point: _Point, sign: int) -> None:
        """Add a point to the sums over points, or take it out."""
        if point.known:
            self._measured += sign
            self._means += sign * point.mean
            self._squares += sign * point.mean**2
            self._work += sign * point.left * point.mean
            self._runs += sign * point.left
            self._spread += sign * (point.left**2 / point.known + point.left)

    def _work_left(self, count: int) -> tuple[float, float]:
        """Return the expected seconds of so many runs together, and their variance."""
        mean = self._means / self._measured
        between = self._between(mean)
        freedom = self._known - self._measured
        within = self._within / freedom if freedom else between
        # Some runs of measured points may not be needed any more.
        share = min(1.0, count / self._runs) if self._runs else 0.0
        others = count - share * self._runs
        work = share * self._work + others * mean
        points = others / (self._repetitions or 1)
        variance = share * self._spread * within
        if points > 0:
            variance += others**2 * between * (1 / points + 1 / self._measured) + others * within
        return work, variance

    def _between(self, mean: float) -> float:
        """Return the variance of the means of points."""
        if self._measured < 2:
            return (_UNKNOWN * mean) ** 2
        squares = self._squares - self._measured * mean**2
        return max(0.0, squares) / (self._measured - 1)

    def _deviation(self) -> float:
        """Return the relative deviation of the last durations."""
        lengths = [length for _, length in self._ends]
        mean = sum(lengths) / len(lengths)
        squares = sum((length - mean) ** 2 for length in lengths)
        return math.sqrt(squares / len(lengths)) / mean if mean else 0.0

    def _places(self, record: CampaignRecord) -> tuple[float, int]:
        """Return how many runs are under way at a time, and from how many that was measured."""
        # Without hosts for more, no more than those that are under way.
        expected = max(1, record.active) if record.placing else record.parallel
        # The first ones began together. Those after them began one by one, as others ended.
        first = max(0, expected - (self._since - len(self._ends)))
        recent = sorted(self._ends)[first:]
        if len(recent) > max(_FEWEST, expected):
            passed = recent[-1][0] - recent[0][0]
            lengths = sum(length for _, length in recent[1:])
            if passed > 0 and lengths > 0:
                return min(lengths / passed, record.parallel), len(recent) - 1
        return expected, 0


def _repetitions(segments: Sequence[Mapping[str, Any]]) -> tuple[int, dict[str, int]]:
    """Return the repetitions of the first space, and of each point of the other ones.

    They are 0 if a function of the space is in a module that only workers import.
    """
    try:
        found = [Segment(segment) for segment in segments]
        ends = {n if item.of is None else item.of: item.end for n, item in enumerate(found)}
        others = {
            point: end for number, end in ends.items() if number for point in found[number].ids()
        }
    except NepiqError:
        return 0, {}
    return ends.get(0, 0), others
