"""Samples of a campaign: some of its runs, at points over all of its space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from statistics import median_low

from ...errors import CampaignError, InvalidValue
from ..plan import CampaignPlan
from ..row import FINISHED, Row
from ..space import Space, point_id

_REPETITIONS = 5
"""Repetitions of a point that a sample has before it has another point."""


def sample(plan: CampaignPlan, rows: Iterable[Row], runs: int) -> CampaignPlan:
    """Return the plan of some runs of a campaign; they have the seeds of the campaign.

    A comparison needs repetitions, so that there are up to five at each point. Points lie at equal
    distances in the order of the space. Those without a finished run, or with fewer repetitions
    than most points have, are left out.

    Args:
        plan: the plan of the campaign.
        rows: its rows.
        runs: the greatest number of runs.

    Raises:
        InvalidValue: the number is not positive.
        CampaignError: no run of the campaign has finished.
    """
    if runs < 1:
        raise InvalidValue("a sample needs a run at least")
    counts, finished = Counter[str](), set[str]()
    for row in rows:
        counts[row.point] += 1
        if row.outcome == FINISHED:
            finished.add(row.point)
    if not finished:
        raise CampaignError("no run in the crate has finished")
    # Repetitions that a point does not have could not be compared.
    most = median_low(counts[point] for point in finished)
    ids = {point for point in finished if counts[point] >= most}
    points = [point for space in plan.spaces for point in space if point_id(point) in ids]
    repetitions = min(most, runs, max(_REPETITIONS, runs // len(points)))
    count = min(len(points), runs // repetitions)
    chosen = [points[number * (len(points) - 1) // max(1, count - 1)] for number in range(count)]
    return replace(
        plan, space=Space.points(chosen), added=(), repetitions=repetitions, least=1, stop=()
    )
