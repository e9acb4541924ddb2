"""Experiments and resources as small tables of HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape as _escape
from typing import TYPE_CHECKING, Any

from ..errors.text import harmless
from .graph.style import STATES
from .tables import Row, rows, summary
from .words import duration, plural

if TYPE_CHECKING:
    from ..engine.store.records import ResourceRecord

_LONGEST = 30
_CELL = "text-align:left;padding:2px 10px 2px 0;vertical-align:top"
#: Readable on light and dark pages: notebooks bring their own background.
_UNKNOWN = "#7b8794"


def escape(text: str) -> str:
    """Text as HTML shows it: no markup, no control characters."""
    return _escape(harmless(text))


def experiment_html(name: str, about: str, table: Sequence[Row], *, longest: int = _LONGEST) -> str:
    """A table of resources with their states.

    Args:
        name: name of the experiment.
        about: what is known of its run.
        table: the resources; the state of one is empty if nobody knows it.
        longest: at most so many are shown; the last line says how many were left out.
    """
    counted = summary(row.state for row in table if row.state)
    told = ", ".join(part for part in (plural(len(table), "resource"), counted) if part)
    head = "".join(f'<th style="{_CELL}">{title}</th>' for title in _titles(table))
    lines = [_line(row, _titles(table)) for row in table[:longest]]
    if len(table) > longest:
        lines.append(f'<tr><td colspan="6">… and {len(table) - longest} more</td></tr>')
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return (
        f"<div><p><b>{escape(name)}</b>: {escape(about)}; {escape(told)}</p>"
        f"{body if table else ''}</div>"
    )


def resource_html(record: ResourceRecord, known: Iterable[ResourceRecord] = ()) -> str:
    """One resource of a run, with its attributes.

    Args:
        record: the resource.
        known: further resources, of which one may be its host.
    """
    labels = {other.guid: other.label for other in known}
    (row,) = rows([record], labels)
    since = "" if row.since is None else f", for {duration(row.since)}"
    given = [("guid", str(row.guid)), ("type", row.rtype), ("host", row.host), ("note", row.note)]
    return _one(row.label, f"{_state(row.state)}{escape(since)}", given, record.attributes)


def described_html(
    guid: int, label: str, rtype: str, host: str, attributes: Mapping[str, Any]
) -> str:
    """One resource of which no state is known, with its attributes."""
    given = [("guid", str(guid)), ("type", rtype), ("host", host)]
    return _one(label, "", given, attributes)


def _one(
    label: str, state: str, given: list[tuple[str, str]], attributes: Mapping[str, Any]
) -> str:
    given = [*given, *((name, str(value)) for name, value in sorted(attributes.items()))]
    lines = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{escape(value)}</td></tr>'
        for name, value in given
        if value
    )
    head = f"<b>{escape(label)}</b>{': ' if state else ''}{state}"
    return f"<div><p>{head}</p><table><tbody>{lines}</tbody></table></div>"


def _titles(table: Sequence[Row]) -> list[str]:
    """The columns that have anything in them."""
    optional = ("state", "host", "note")
    return ["guid", "label", "type", *(t for t in optional if any(getattr(r, t) for r in table))]


def _line(row: Row, titles: Sequence[str]) -> str:
    cells = {
        "guid": str(row.guid),
        "label": escape(row.label),
        "type": escape(row.rtype),
        "state": _state(row.state),
        "host": escape(row.host),
        "note": escape(row.note),
    }
    return "<tr>" + "".join(f'<td style="{_CELL}">{cells[t]}</td>' for t in titles) + "</tr>"


def _state(state: str) -> str:
    if not state:
        return ""
    colour = STATES[state].light if state in STATES else _UNKNOWN
    # A mark of the colour beside the word: contrast does not depend on the background.
    return f'<span style="color:{colour}">&#9679;</span> {escape(state)}'
