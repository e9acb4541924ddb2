"""The text of a comparison: a table with a line for each difference, and notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors.text import one_line
from ..reports.words import bounds, number, plural, two_digits

if TYPE_CHECKING:
    from .comparison import Comparison, Difference

_LONGEST_WORD = 40


def text(comparison: Comparison) -> str:
    """Return a comparison as lines of text."""
    each = list(comparison.differences[0].at)
    interval = f"{100 * comparison.confidence:g}% interval"
    titles = ["metric", *each, "first", "second", "repetitions", "mean", "mean"]
    titles += ["difference", "", interval, "p", "second is"]
    rows = [_cells(item, comparison) for item in comparison]
    return "\n".join([*_aligned([titles, *rows]), *_notes(comparison)])


def _cells(item: Difference, comparison: Comparison) -> list[str]:
    cells = [item.metric, *(_word(value) for value in item.at.values())]
    cells += [_word(item.first), _word(item.second)]
    means, difference, interval, p = item.means, item.difference, item.interval, item.p
    if means is None or difference is None or interval is None or p is None:
        return [*cells, *[""] * 7, f"not known: {item.reason}"]
    one, other = item.counts
    share = "" if item.relative is None else f"{two_digits(100 * item.relative):+g}%"
    return [
        *cells,
        plural(one, "pair") if item.paired else f"{one} and {other}",
        *map(number, means),
        number(difference, signed=True),
        share,
        bounds(*interval),
        f"{p:.2g}" if p >= 0.0001 else "<0.0001",
        _answer(item, comparison.margin),
    ]


def _answer(item: Difference, margin: str) -> str:
    if item.answer == "equal":
        return f"equal within {margin}"
    if item.answer == "undecided":
        return "undecided"
    return f"{item.answer}, by less than {margin}" if item.is_equal else item.answer


def _notes(comparison: Comparison) -> list[str]:
    notes = []
    tests = sum(item.p is not None for item in comparison)
    if tests > 1:
        notes.append(f"p is adjusted for {tests} differences (Holm)")
    if comparison.confounded:
        notes.append("different together with the levels: " + ", ".join(comparison.confounded))
    unused = max(item.unused for item in comparison)
    for count, problem in (
        (comparison.failed, "not finished"),
        (unused, "without a counterpart at most, for each difference"),
    ):
        if count:
            notes.append(f"left out: {plural(count, 'run')} {problem}")
    return ["", *notes] if notes else []


def _word(value: Any) -> str:
    return "-" if value is None else one_line(str(value), _LONGEST_WORD)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
