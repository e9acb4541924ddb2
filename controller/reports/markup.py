"""HTML tables of experiments and resources, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape as _escape
from typing import TYPE_CHECKING, Any

from ..errors.text import escaped
from .graph.style import STATES
from .tables import Row, rows, summary
from .words import duration, plural

if TYPE_CHECKING:
    from ..engine.store.records import ResourceRecord

_MAX_ROWS = 30
_CELL = "text-align:left;padding:2px 10px 2px 0;vertical-align:top"
#: Readable on the light and dark backgrounds of notebooks.
_UNKNOWN = "#7b8794"


def escape(text: str) -> str:
    """Return text escaped for HTML, without control characters."""
    return _escape(escaped(text))


def experiment_html(
    name: str, about: str, table: Sequence[Row], *, longest: int = _MAX_ROWS
) -> str:
    """Return a table of resources with their states.

    Args:
        name: name of the experiment.
        about: a summary of its run.
        table: the resources; an unknown state is empty.
        longest: maximum number of resources; the last line counts the omitted ones.
    """
    counts = summary(row.state for row in table if row.state)
    total = ", ".join(part for part in (plural(len(table), "resource"), counts) if part)
    head = "".join(f'<th style="{_CELL}">{title}</th>' for title in _titles(table))
    lines = [_line(row, _titles(table)) for row in table[:longest]]
    if len(table) > longest:
        lines.append(f'<tr><td colspan="6">… and {len(table) - longest} more</td></tr>')
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return (
        f"<div><p><b>{escape(name)}</b>: {escape(about)}; {escape(total)}</p>"
        f"{body if table else ''}</div>"
    )


def resource_html(record: ResourceRecord, others: Iterable[ResourceRecord] = ()) -> str:
    """Return a table of the attributes of one resource of a run.

    Args:
        record: the resource.
        others: further resources, which may include its host.
    """
    labels = {other.guid: other.label for other in others}
    (row,) = rows([record], labels)
    since = "" if row.since is None else f", for {duration(row.since)}"
    cells = [("guid", str(row.guid)), ("type", row.rtype), ("host", row.host), ("note", row.note)]
    return _resource(row.label, f"{_state(row.state)}{escape(since)}", cells, record.attributes)


def described_html(
    guid: int, label: str, rtype: str, host: str, attributes: Mapping[str, Any]
) -> str:
    """Return a table of the attributes of a resource without a state."""
    cells = [("guid", str(guid)), ("type", rtype), ("host", host)]
    return _resource(label, "", cells, attributes)


def _resource(
    label: str, state: str, cells: list[tuple[str, str]], attributes: Mapping[str, Any]
) -> str:
    cells = [*cells, *((name, str(value)) for name, value in sorted(attributes.items()))]
    lines = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{escape(value)}</td></tr>'
        for name, value in cells
        if value
    )
    head = f"<b>{escape(label)}</b>{': ' if state else ''}{state}"
    return f"<div><p>{head}</p><table><tbody>{lines}</tbody></table></div>"


def _titles(table: Sequence[Row]) -> list[str]:
    """Return the titles of the columns that are not empty."""
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
    # Only a mark is coloured: the word stays readable on any background.
    return f'<span style="color:{colour}">&#9679;</span> {escape(state)}'
