"""Reproductions: the results of a campaign that repeats another, beside those of the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ...errors import CampaignError
from ...reports.words import plural
from ..comparison import HIGHER, LOWER, NONE, Comparison, Difference, compare
from ..fisher import tail
from ..levels import numeric_metrics
from ..provenance import Provenance
from ..row import FINISHED
from ..table import Table
from .changes import Change, changes

if TYPE_CHECKING:
    from ..campaign import Campaign
    from .crate import Crate

AGREES, DIFFERS, UNKNOWN = "agrees", "differs", "unknown"

_MOST_CHANGES = 20


@dataclass(frozen=True)
class Verdict:
    """A metric of two campaigns.

    Attributes:
        metric: its name.
        answer: ``agrees`` if no difference is found, or if the difference is within the margin;
            ``differs``, or ``unknown``.
        reason: why it is unknown.
    """

    metric: str
    answer: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.metric}: {self.answer}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class Reproduction:
    """The results of a campaign that repeats another, beside those of the other.

    Attributes:
        first: name of the campaign that is repeated.
        second: name of the campaign that repeats it.
        runs: number of ended runs of each.
        failed: how many of them did not finish.
        changes: what differs between the environments.
        verdicts: a verdict for each metric that is a number.
        comparison: the differences of the metrics; None if there is no such metric.
        confidence: the confidence of verdicts.
    """

    first: str
    second: str
    runs: tuple[int, int]
    failed: tuple[int, int]
    changes: Sequence[Change]
    verdicts: Sequence[Verdict]
    comparison: Comparison | None
    confidence: float

    @property
    def fails_more(self) -> bool:
        """True if more runs fail than before, beyond chance (Fisher's exact test)."""
        before, after = zip(self.failed, self.runs, strict=True)
        return tail(*after, *before) < 1 - self.confidence

    @property
    def agrees(self) -> bool:
        """True if all metrics agree and no more runs fail than before."""
        return not self.fails_more and all(item.answer == AGREES for item in self.verdicts)

    def to_data(self) -> dict[str, Any]:
        """Return the reproduction as JSON data."""
        return {
            "first": self.first,
            "second": self.second,
            "runs": self.runs,
            "failed": self.failed,
            "changes": [item._asdict() for item in self.changes],
            "verdicts": [asdict(item) for item in self.verdicts],
            "comparison": None if self.comparison is None else self.comparison.to_data(),
            "fails_more": self.fails_more,
            "agrees": self.agrees,
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.comparison is not None:
            yield str(self.comparison)
            yield ""
        yield "changed since:" if self.changes else "no version and no fact of hosts has changed"
        for item in self.changes[:_MOST_CHANGES]:
            yield f"  {item}"
        if len(self.changes) > _MOST_CHANGES:
            yield f"  and {plural(len(self.changes) - _MOST_CHANGES, 'package')} more"
        yield ""
        (before, after), (first, second) = self.failed, self.runs
        more = "more than in the crate: " if self.fails_more else ""
        yield f"failed: {more}{after} of {plural(second, 'run')}; in the crate {before} of {first}"
        yield from map(str, self.verdicts)
        yield "reproduced" if self.agrees else "not reproduced"


def reproduction(
    crate: Crate, campaign: Campaign, margin: str | float | None, confidence: float
) -> Reproduction:
    """Return how the results of a campaign compare with those in a crate; see Crate.compare."""
    rows = list(campaign.rows())
    tables = crate.table(), Table.of_rows(lambda: rows)
    counts = [(len(table), _failed(table)) for table in tables]
    if counts[1][0] == counts[1][1]:
        raise CampaignError(
            "no run has finished",
            where=campaign.name,
            hint=f"nepiq campaign status {campaign.name}",
        )
    comparison = None
    if numeric_metrics(tables):
        comparison = compare(*tables, margin=margin, confidence=confidence)
    environment = campaign.provenance() or Provenance(), campaign.hosts()
    return Reproduction(
        crate.name,
        campaign.name,
        (counts[0][0], counts[1][0]),
        (counts[0][1], counts[1][1]),
        changes((crate.provenance, crate.hosts), environment),
        list(_verdicts(tables[0], comparison)),
        comparison,
        confidence,
    )


def _failed(table: Table) -> int:
    return sum(record["outcome"] != FINISHED for record in table)


def _verdicts(first: Table, comparison: Comparison | None) -> Iterator[Verdict]:
    found = {item.metric: item for item in comparison or ()}
    for metric in numeric_metrics([first]):
        difference = found.get(metric)
        if difference is None:
            yield Verdict(metric, UNKNOWN, "no run has a number now")
        else:
            yield Verdict(metric, *_answer(difference))


def _answer(difference: Difference) -> tuple[str, str]:
    if difference.answer == NONE:
        return UNKNOWN, difference.reason
    differs = difference.answer in (HIGHER, LOWER) and not difference.is_equal
    return (DIFFERS if differs else AGREES), ""
