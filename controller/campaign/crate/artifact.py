"""Artifacts: crates with a short run, its expected figures, and what reviewers of badges check.

Source: ACM, "Artifact Review and Badging", version 1.1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ...reports.words import duration, plural
from ..plan import PARALLEL
from ..row import FINISHED
from ..space import point_id
from ..summary import PointSummary, summaries
from . import layout
from .figures import table_of
from .sample import sample

if TYPE_CHECKING:
    from .content import Content

SHORT = 600.0
"""Seconds that the short run of an artifact may take."""

_FEWEST = 5


@dataclass(frozen=True)
class ShortRun:
    """The short run of an artifact.

    Attributes:
        sample: number of runs for ``nepiq rerun --sample``; None for all runs.
        runs: number of its runs.
        seconds: time that they take, estimated from the runs of the campaign.
        all_runs: number of runs of the campaign.
        all_seconds: time that these take.
        name: of the campaign that repeats all of them.
        points: figures of its points in the campaign.
        rerun: the command that repeats a crate in its folder.
    """

    sample: int | None
    runs: int
    seconds: float
    all_runs: int
    all_seconds: float
    name: str
    points: list[PointSummary]
    rerun: str = "nepiq rerun ."

    @classmethod
    def of(cls, content: Content) -> ShortRun:
        """Return the short run of a campaign.

        Raises:
            CampaignError: no run has finished.
        """
        times = [row.duration for row in content.rows() if row.outcome == FINISHED and row.duration]
        parallel = content.plan.parallel or PARALLEL
        each = fmean(times) / parallel if times else 0.0
        all_runs = len(content.table)
        plan, chosen = content.plan, None
        if all_runs * each > SHORT:
            chosen = max(_FEWEST, int(SHORT / each))
            plan = sample(plan, content.rows(), chosen)
        points = {point_id(point) for space in plan.spaces for point in space}
        runs = plan.runs if chosen else all_runs
        rows = (row for row in content.rows() if row.point in points)
        name = f"{content.name}-all"
        return cls(
            chosen,
            runs,
            runs * each,
            all_runs,
            all_runs * each,
            name,
            summaries(rows),
            content.rerun,
        )

    @property
    def command(self) -> str:
        """The command that carries it out in the folder of the crate."""
        return self.rerun + (f" --sample {self.sample}" if self.sample else "")

    def write_figures(self, path: Path) -> None:
        """Write the expected figures: the mean of each metric at each point, with its interval."""
        parameters = list(dict.fromkeys(name for point in self.points for name in point.parameters))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*parameters, "metric", "runs", "mean", "low", "high"])
            for point in self.points:
                values = [point.parameters.get(name, "") for name in parameters]
                for metric, samples in point.samples.items():
                    bounds = point.interval(metric) or ("", "")
                    writer.writerow([*values, metric, len(samples), point.mean(metric), *bounds])

    def lines(self) -> Iterator[str]:
        """Yield the part of the README that reviewers need."""
        yield "## Artifact"
        yield ""
        yield "For reviewers of the badges of ACM, *Artifacts Evaluated - Functional* and *Results"
        yield "Reproduced*."
        yield ""
        yield f"### Functional: {plural(self.runs, 'run')}, {_time(self.seconds)}"
        yield ""
        yield "```console"
        yield f"$ {self.command}"
        yield "```"
        yield ""
        yield "It has succeeded if its last line is `reproduced` and its exit code is 0. It prints"
        yield "the difference of each metric to this crate, with its interval. The figures of the"
        yield f"campaign at the points of this run, also in `{layout.EXPECTED}`, are:"
        yield ""
        yield from table_of(self.points)
        yield ""
        yield f"### Reproduced: {plural(self.all_runs, 'run')}, {_time(self.all_seconds)}"
        yield ""
        yield "```console"
        yield f"$ {self.rerun} --name {self.name}"
        yield "```"
        yield ""
        yield "A metric *agrees* if no difference is found at 95 % confidence, adjusted for their"
        yield "number. Versions and facts of hosts that differ from those of this crate are named."
        yield f"`nepiq campaign summary {self.name}` prints the new figures at each point."


def _time(seconds: float) -> str:
    return f"about {duration(seconds)}" if seconds >= 60 else "less than a minute"
