"""The time that a campaign takes until its end, in simulated campaigns whose end is known."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from nepiq.controller import Space
from nepiq.controller.campaign.health import Health
from nepiq.controller.campaign.plan import CampaignPlan
from nepiq.controller.campaign.row import Row
from nepiq.controller.campaign.segment import Segment
from nepiq.controller.campaign.space import point_id
from nepiq.controller.campaign.time_left import Left, TimeLeft
from nepiq.controller.cli.campaign_progress import lines
from nepiq.controller.engine.campaign_records import CampaignRecord, Repeated

SEEDS = range(20)


@dataclass(frozen=True)
class Laboratory:
    """A campaign, and how long its runs take.

    Attributes:
        points, repetitions, parallel: of the campaign.
        between, within: deviation of the logarithm of durations, of points and of repetitions.
        places: how many runs there are hosts for.
        gap: seconds from the end of a run to the begin of the next one.
        typical: median duration in seconds.
    """

    points: int
    repetitions: int
    parallel: int
    between: float
    within: float
    places: int = 1000
    gap: float = 0.0
    typical: float = 30.0

    @property
    def total(self) -> int:
        return self.points * self.repetitions

    def segment(self) -> Mapping[str, Any]:
        return Segment.data(CampaignPlan(Space.grid(n=range(self.points)), self.repetitions))

    def rows(self, seed: int) -> list[Row]:
        """The rows in the order in which the runs end."""
        chance = random.Random(seed)
        means = [self.typical * chance.lognormvariate(0, self.between) for _ in range(self.points)]
        free = [0.0] * min(self.parallel, self.places)
        rows = []
        for number, (point, repetition) in enumerate(self._order(chance)):
            began = heapq.heappop(free)
            ended = began + means[point] * chance.lognormvariate(0, self.within)
            heapq.heappush(free, ended + self.gap)
            rows.append(row(point, repetition, number, began, ended))
        return sorted(rows, key=lambda item: item.ended or 0.0)

    def _order(self, chance: random.Random) -> Iterator[tuple[int, int]]:
        for repetition in range(self.repetitions):
            for point in chance.sample(range(self.points), self.points):
                yield point, repetition

    def record(self, done: int) -> CampaignRecord:
        left = self.total - done
        active = min(self.parallel, self.places, left)
        return record(self.total, done, self.parallel, active, min(self.parallel, left) - active)


def row(point: int, repetition: int, number: int, began: float, ended: float) -> Row:
    """A row of a campaign whose parameter is ``n``."""
    parameters = {"n": point}
    return Row(
        "c",
        point_id(parameters),
        parameters,
        repetition + 1,
        1,
        f"run-{number}",
        began=began,
        ended=ended,
    )


def record(
    total: int, done: int, parallel: int, active: int, placing: int = 0, phase: str = "running"
) -> CampaignRecord:
    """How far a campaign is."""
    return CampaignRecord(
        name="c",
        phase=phase,
        why="",
        created=0.0,
        total=total,
        finished=done,
        failed=0,
        cancelled=0,
        begun=done + active,
        again=0,
        skipped=0,
        active=active,
        waiting=0,
        placing=placing,
        parallel=parallel,
    )


LABORATORIES = {
    "few points, often": Laboratory(10, 20, 4, between=0.5, within=0.1),
    "each point once": Laboratory(200, 1, 8, between=0.5, within=0.0),
    "points that differ much": Laboratory(60, 5, 8, between=0.8, within=0.3),
    "one at a time": Laboratory(20, 4, 1, between=0.4, within=0.2),
    "fewer hosts than parallel": Laboratory(50, 4, 64, between=0.4, within=0.2, places=4),
    "gaps as long as runs": Laboratory(100, 10, 8, 0.3, 0.3, gap=0.02, typical=0.02),
    "runs alike": Laboratory(20, 10, 10, between=0.0, within=0.02),
}


@pytest.mark.parametrize("laboratory", LABORATORIES.values(), ids=LABORATORIES)
def test_at_a_quarter_of_a_campaign(laboratory: Laboratory) -> None:
    """The estimate is within 30 % of the truth, and the range holds the truth."""
    done = laboratory.total // 4
    close, held, widths = 0, 0, []
    for seed in SEEDS:
        rows = laboratory.rows(seed)
        time_left = TimeLeft([laboratory.segment()])
        for item in rows[:done]:
            time_left.add(item)
        left = time_left.until_end(laboratory.record(done))
        assert left is not None
        truth = (rows[-1].ended or 0.0) - (rows[done - 1].ended or 0.0)
        close += abs(left.seconds / truth - 1) < 0.3
        held += left.low <= truth <= left.high
        widths.append(left.high / left.low)
    assert close >= 0.95 * len(SEEDS)
    assert held >= 0.9 * len(SEEDS)
    assert math.fsum(widths) / len(widths) < 3  # a range of anything would hold it, too


def steady(time_left: TimeLeft, count: int, first: int = 0, seconds: float = 10.0) -> None:
    """Add runs of different points, one after the other."""
    for number in range(first, first + count):
        time_left.add(row(number, 0, number, number * seconds, (number + 1) * seconds))


def test_a_point_takes_the_time_that_it_took() -> None:
    """The long point has had all of its runs, those to come are short."""
    long, short = (0, 100.0), (1, 1.0)
    segment = Segment.data(CampaignPlan(Space.grid(n=[0, 1]), 10))
    time_left, at = TimeLeft([segment]), 0.0
    for number, (point, seconds) in enumerate([long] * 10 + [short] * 2):
        time_left.add(row(point, number % 10, number, at, at + seconds))
        at += seconds
    left = time_left.until_end(record(20, 12, 1, 1))
    assert left is not None
    assert left.seconds == pytest.approx(8.0)


def test_points_of_another_space_have_their_own_repetitions() -> None:
    segments = [
        Segment.data(CampaignPlan(Space.grid(n=range(3)), 1)),
        Segment.data(CampaignPlan(Space.grid(n=[3]), 5)),
    ]
    time_left = TimeLeft(segments)
    steady(time_left, 3)
    time_left.add(row(3, 0, 3, 30.0, 230.0))
    left = time_left.until_end(record(8, 4, 1, 1))
    assert left is not None
    assert left.seconds == pytest.approx(4 * 200.0)


def test_without_its_spaces_runs_take_the_mean_of_the_others() -> None:
    time_left = TimeLeft()
    steady(time_left, 5)
    left = time_left.until_end(record(20, 5, 3, 3))
    assert left is not None
    assert left.seconds == pytest.approx(15 * 10.0 / 3)


def test_a_change_of_parallel_counts_at_once() -> None:
    time_left = TimeLeft()
    steady(time_left, 50)
    before = time_left.until_end(record(100, 50, 1, 1))
    after = time_left.until_end(record(100, 50, 5, 5))
    assert before is not None
    assert after is not None
    assert (before.seconds, after.seconds) == pytest.approx((500.0, 100.0))


def test_a_pause_does_not_count() -> None:
    time_left = TimeLeft()
    steady(time_left, 20)
    assert time_left.until_end(record(100, 20, 1, 0, phase="paused")) is None
    time_left.interrupt()
    steady(time_left, 20, first=10_020)
    left = time_left.until_end(record(100, 40, 1, 1))
    assert left is not None
    assert left.seconds == pytest.approx(600.0)
    assert time_left.rate == pytest.approx(0.1)


def test_nothing_is_said_of_what_is_unknown_or_over() -> None:
    time_left = TimeLeft()
    steady(time_left, 2)
    assert time_left.until_end(record(10, 2, 1, 1)) is None
    steady(time_left, 1, first=2)
    assert time_left.until_end(record(10, 3, 1, 1)) is not None
    assert time_left.until_end(record(3, 3, 1, 0)) is None
    assert time_left.until_end(record(10, 3, 1, 0, phase="finished")) is None


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (Left(740.0, 530.0, 980.0), "about 12 min left (8.8 to 16)"),
        (Left(0.4, 0.3, 0.52), "about 0.4 s left (0.3 to 0.52)"),
        (Left(89.0, 60.0, 130.0), "about 89 s left (60 to 130)"),
        (Left(30_000.0, 20_000.0, 50_000.0, at_most=True), "at most 8.3 h left (5.6 to 14)"),
        (Left(1e6, 9e5, 1.2e6), "about 12 d left (10 to 14)"),
    ],
)
def test_it_is_told_in_one_unit(left: Left, text: str) -> None:
    assert str(left) == text


def test_the_status_tells_hosts_in_use_the_time_and_what_is_in_trouble() -> None:
    health = Health({"fit07:22": 1.8e9}, [], ["3f2a9c81"], ["fit01:22", "fit02:22"], 37)
    status = lines(record(3000, 812, 8, 2), {"it": (3, "run-1")}, health, Left(740.0, 530.0, 980.0))
    assert status[0] == (
        "c: running, 812 of 3000 runs ended, 2 under way, 2 of 37 hosts in use, "
        "about 12 min left (8.8 to 16)"
    )
    assert status[1] == "  3 runs, such as run-1: it"
    assert status[2].startswith("  host fit07:22 is in quarantine until ")
    assert status[3:] == ["  point 3f2a9c81 is at fault: it failed on hosts where others do not"]


def test_the_status_tells_why_runs_were_begun_again() -> None:
    hosts = [f"fit0{number}:22" for number in range(1, 8)]
    repeats = {
        "refused": Repeated(9, "run-1", hosts),
        "lost": Repeated(1, "run-2"),
    }
    assert lines(record(30, 8, 8, 2), {}, repeats=repeats)[1:] == [
        "  9 runs begun again because of fit01:22, fit02:22, fit03:22, fit04:22 and 3 more, "
        "such as run-1: refused",
        "  1 run begun again, such as run-2: lost",
    ]
