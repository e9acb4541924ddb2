"""Figures of a campaign as a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...errors.text import one_line
from ...reports.words import number
from ..summary import PointSummary

MOST_POINTS = 50
"""Points that a table has at most."""

_LONGEST = 60


def table_of(points: Sequence[PointSummary]) -> Iterator[str]:
    """Yield the lines of a table: a line for each point, with the means of the metrics.

    Args:
        points: the points, of which the table has the first :data:`MOST_POINTS`.
    """
    parameters = list(dict.fromkeys(name for point in points for name in point.parameters))
    metrics = list(dict.fromkeys(name for point in points for name in point.samples))
    head = [*parameters, "runs", "failed", *metrics]
    yield _line(head)
    yield _line(["---"] * len(head))
    for point in points[:MOST_POINTS]:
        values = (str(point.parameters.get(name, "")) for name in parameters)
        estimates = (_estimate(point, name) for name in metrics)
        yield _line([*values, str(point.runs), str(point.failed), *estimates])


def _line(cells: Sequence[str]) -> str:
    shown = (one_line(cell, _LONGEST).replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(shown)} |"


def _estimate(point: PointSummary, metric: str) -> str:
    mean, bounds = point.mean(metric), point.interval(metric)
    if mean is None:
        return ""
    return number(mean, (bounds[1] - bounds[0]) / 2 if bounds else None)
