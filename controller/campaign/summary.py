"""Summary of a campaign: for each point the number of runs and the mean of each metric."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .row import FAILED, Row, Value
from .space.points import order
from .statistics import Interval, interval


@dataclass
class PointSummary:
    """The rows of one point of a campaign.

    Attributes:
        point: id of the point.
        parameters: its values.
        runs: number of rows.
        failed: how many of them are of failed runs.
        samples: values of each metric that are numbers.
        texts: other values of each metric, each once.
    """

    point: str
    parameters: Mapping[str, Any]
    runs: int = 0
    failed: int = 0
    samples: dict[str, list[float]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Add a row of the point."""
        self.runs += 1
        self.failed += row.outcome == FAILED
        for name, value in row.metrics.items():
            self._add(name, value)

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric; None if no run has a number for it."""
        samples = self.samples.get(metric)
        return statistics.fmean(samples) if samples else None

    def interval(self, metric: str, confidence: float = 0.95) -> Interval | None:
        """Return the confidence interval of the mean (Student's t); None below two samples."""
        return interval(self.samples.get(metric, ()), confidence)

    def margin(self, metric: str, confidence: float = 0.95) -> float | None:
        """Return half the width of that interval; None below two samples."""
        bounds = self.interval(metric, confidence)
        return (bounds[1] - bounds[0]) / 2 if bounds else None

    def to_data(self) -> dict[str, Any]:
        """Return the summary as JSON data."""
        metrics: dict[str, Any] = {}
        for name in self.samples:
            bounds = self.interval(name)
            metrics[name] = {
                "mean": self.mean(name),
                "samples": len(self.samples[name]),
                **({"low": bounds[0], "high": bounds[1]} if bounds else {}),
            }
        for name, values in self.texts.items():
            metrics.setdefault(name, {})["values"] = values
        return {
            "point": self.point,
            "parameters": dict(self.parameters),
            "runs": self.runs,
            "failed": self.failed,
            "metrics": metrics,
        }

    def _add(self, name: str, value: Value) -> None:
        if isinstance(value, (int, float)):  # True and False are 1 and 0: their mean is a share
            self.samples.setdefault(name, []).append(float(value))
        elif value is not None and value not in self.texts.setdefault(name, []):
            self.texts[name].append(value)


def summaries(rows: Iterable[Row]) -> list[PointSummary]:
    """Return the summary of each point, ordered by the values of the parameters.

    Args:
        rows: the rows of a campaign, in any order.
    """
    points: dict[str, PointSummary] = {}
    for row in rows:
        if row.point not in points:
            points[row.point] = PointSummary(row.point, row.parameters)
        points[row.point].add(row)
    names = list(dict.fromkeys(name for item in points.values() for name in item.parameters))
    return sorted(
        points.values(), key=lambda item: [order(item.parameters.get(name)) for name in names]
    )
