"""Comparisons of two campaigns, or of the levels of a factor: differences with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from statistics import fmean
from typing import Any

from ..errors import InvalidValue, near_misses
from ..errors.text import quoted
from .blocks import NotComparable, match
from .hypotheses import Margin, difference_test, equality_test, holm
from .levels import Levels, by_campaign, by_value, metrics_of
from .statistics import Interval
from .table import Table

HIGHER, LOWER, EQUAL, UNDECIDED, NONE = "higher", "lower", "equal", "undecided", "none"


@dataclass(frozen=True)
class Difference:
    """The difference of a metric between two levels, second minus first.

    Attributes:
        metric: name of the metric.
        first: the first level.
        second: the second level.
        at: values of the parameters at which they are compared; empty for the mean over all
            points that both levels have.
        paired: True if runs with common seeds are compared with each other.
        counts: number of repetitions of each level.
        runs: number of runs of both levels that are used.
        unused: number of finished runs without a counterpart at the other level.
        means: the mean of each level.
        difference: the estimate.
        interval: its confidence interval, by Student's t for pairs, else by Welch's t.
        p: probability of at least such a difference by chance, by Holm over all differences.
        p_equal: probability of such a small difference if the true one is beyond the margin, by
            Holm likewise; None without a margin.
        answer: ``higher`` or ``lower`` (the second level), ``equal`` (no difference beyond the
            margin), ``undecided`` (more runs are needed) or ``none`` (see ``reason``).
        is_equal: True if the difference is not beyond the margin, also if it is not zero.
        reason: why there is no answer.
    """

    metric: str
    first: Any
    second: Any
    at: Mapping[str, Any] = field(default_factory=dict)
    paired: bool = False
    counts: tuple[int, int] = (0, 0)
    runs: int = 0
    unused: int = 0
    means: tuple[float, float] | None = None
    difference: float | None = None
    interval: Interval | None = None
    p: float | None = None
    p_equal: float | None = None
    answer: str = NONE
    is_equal: bool = False
    reason: str = ""

    @property
    def relative(self) -> float | None:
        """The difference relative to the mean of the first level; None if that is zero."""
        if self.means is None or self.difference is None or not self.means[0]:
            return None
        return self.difference / abs(self.means[0])


@dataclass(frozen=True)
class Comparison:
    """All differences of a comparison; as text a table.

    Attributes:
        differences: a difference for each pair of levels, metric and value of ``each``.
        confidence: the confidence of the intervals and answers.
        margin: the margin within which levels count as equal, as ``5%`` or a number; empty for
            none.
        failed: number of runs that did not finish, or have no metrics.
        confounded: parameters that differ together with the levels, so that a difference may be
            theirs.
    """

    differences: list[Difference]
    confidence: float
    margin: str
    failed: int
    confounded: list[str]

    def __iter__(self) -> Iterator[Difference]:
        """Yield the differences."""
        return iter(self.differences)

    def __len__(self) -> int:
        return len(self.differences)

    def to_data(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        differences = [{**asdict(item), "relative": item.relative} for item in self.differences]
        return {**asdict(self), "differences": differences}

    def __str__(self) -> str:
        from .comparison_text import text

        return text(self)


def compare(
    first: Table,
    second: Table | None = None,
    *,
    by: str = "",
    against: Any = None,
    each: Sequence[str] = (),
    metrics: Sequence[str] = (),
    margin: str | float | None = None,
    confidence: float = 0.95,
    paired: bool | None = None,
) -> Comparison:
    """Compare two campaigns, or the levels of a factor of one.

    Levels are compared at the points that both have. The mean of a metric over these points is
    one observation for each repetition. Runs with a common seed are compared with each other, and
    else the means of the levels.

    Args:
        first: the rows of a campaign.
        second: those of another one. If both have the same name, they are named ``first`` and
            ``second``.
        by: instead of ``second``: the parameter whose values are compared, each with each.
        against: a value of ``by``, with which all others are compared only.
        each: parameters for each of whose values there is a difference of its own.
        metrics: names of metrics; by default all that are numbers.
        margin: greatest difference that does not matter, in the unit of the metric or, as
            ``"5%"``, relative to the mean of the first level.
        confidence: the confidence of intervals and answers.
        paired: False to compare means although seeds are common, True to refuse that.

    Raises:
        InvalidValue: a value is invalid, or a metric, parameter or level does not exist.
        CampaignError: there is nothing to compare, or scipy is not installed.

    Example:
        ::

            comparison = compare(campaign.table(), by="protocol", each=["rate"], margin="5%")
            print(comparison)
    """
    if (second is None) == (not by):
        raise InvalidValue("two campaigns, or one and by= are needed")
    if not 0 < confidence < 1:
        raise InvalidValue("confidence must be between 0 and 1", hint="as 0.95")
    bound = None if margin is None else Margin.parse(margin)
    tables = [first] if second is None else [first, second]
    columns = metrics_of(tables, metrics)
    records = by_value(first, by) if second is None else by_campaign(first, second)
    levels = Levels(records, tables, each, by)
    differences = [
        _difference(levels, columns, Difference(metric, one, other, at), confidence, bound, paired)
        for metric in columns
        for at in levels.groups
        for one, other in _pairs(levels.names, against)
    ]
    return Comparison(
        _answered(differences, 1 - confidence),
        confidence,
        "" if bound is None else str(bound),
        levels.failed,
        levels.confounded,
    )


def _pairs(names: Sequence[Any], against: Any) -> list[tuple[Any, Any]]:
    if against is None:
        return list(combinations(names, 2))
    if against not in names:
        hint = near_misses(against, names)
        raise InvalidValue(f"there is no level {quoted(against)}", hint=hint)
    return [(against, name) for name in names if name != against]


def _difference(
    levels: Levels,
    columns: Mapping[str, str],
    between: Difference,
    confidence: float,
    margin: Margin | None,
    paired: bool | None,
) -> Difference:
    """Return a difference with its estimates; its probabilities are those of this test alone."""
    first, second = (
        levels.runs(level, between.at, columns[between.metric])
        for level in (between.first, between.second)
    )
    try:
        blocks = match(first, second, paired)
    except NotComparable as error:
        return replace(between, reason=str(error))
    p, interval = difference_test(blocks, confidence)
    means = fmean(blocks.first), fmean(blocks.second)
    return replace(
        between,
        paired=blocks.paired,
        counts=(len(blocks.first), len(blocks.second)),
        runs=blocks.runs,
        unused=blocks.unused,
        means=means,
        difference=means[1] - means[0],
        interval=interval,
        p=p,
        p_equal=None if margin is None else equality_test(blocks, margin),
    )


def _answered(differences: Sequence[Difference], level: float) -> list[Difference]:
    """Return differences with probabilities for their number, and with answers."""
    tested = [item for item in differences if item.p is not None]
    adjusted = iter(holm([item.p or 0.0 for item in tested]))
    has_margin = any(item.p_equal is not None for item in tested)
    equal = iter(holm([item.p_equal or 0.0 for item in tested]) if has_margin else [])
    answered = []
    for item in differences:
        if item.p is None or item.difference is None:
            answered.append(item)
            continue
        p, p_equal = next(adjusted), next(equal, None)
        is_equal = p_equal is not None and p_equal < level
        answer = EQUAL if is_equal else UNDECIDED
        if p < level:
            answer = HIGHER if item.difference > 0 else LOWER
        answered.append(replace(item, p=p, p_equal=p_equal, answer=answer, is_equal=is_equal))
    return answered
