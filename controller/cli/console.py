"""Output of the command line: data on stdout, messages on stderr, an error on one line."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..errors import DocumentError, NepiqError
from ..errors.text import escaped, escaped_in_json, one_line
from ..reports.tables import Row
from ..reports.words import duration

#: Colours of states in the whole command line; rich drops them if NO_COLOR is set.
COLOURS = {
    "NEW": "bright_black",
    "STARTED": "green",
    "READY": "cyan",
    "STOPPED": "blue",
    "FINISHED": "blue",
    "FAILED": "bold red",
    "RELEASED": "bright_black",
    "RUNNING": "green",
    "RELEASING": "yellow",
}
_MAX_ROWS = 40
_PIPE_WIDTH = 160


class _Console(Console):
    """A console that prints control characters in any text, also in tables, as plain text."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text without control characters, so that its measured width is the printed one."""
        return super().render_str(escaped(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield segments without control characters, except the control segments of rich itself."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(escaped(segment.text), segment.style)


class _PlainTable(Table):
    """A table without borders, in which each row is one line of text."""

    def __init__(self) -> None:
        super().__init__(box=None, pad_edge=False, header_style="bold")

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row."""
        lines = (one_line(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*lines, **options)


class Consoles:
    """The consoles of stdout and stderr."""

    def __init__(self) -> None:
        self.out = make_console(sys.stdout)
        self.err = make_console(sys.stderr)


def make_console(stream: TextIO) -> Console:
    """Return a console that wraps lines on a terminal only; a pipe gets whole lines.

    It prints text literally, without interpreting markup, except for control characters.
    """
    # Set only where needed: rich does not measure a terminal if it has an explicit width.
    console = _Console(file=stream, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


def ascii_only(console: Console) -> bool:
    """Return True unless the encoding of a console is known to support Unicode."""
    return not str(console.encoding).lower().startswith("utf")


def print_json(value: Any) -> None:
    """Print data as one JSON document."""
    text = json.dumps(value, default=_to_json, indent=2, ensure_ascii=False)
    # json leaves some control characters unescaped, such as DEL and those of C1.
    sys.stdout.write(escaped_in_json(text) + "\n")


def _to_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    return list(value)


def print_message(text: str) -> None:
    """Print a message on stderr as one line, without control characters."""
    sys.stderr.write(f"{one_line(text)}\n")


def print_line(text: str) -> None:
    """Print data on stdout as one line, without control characters."""
    sys.stdout.write(f"{one_line(text)}\n")


def print_error(error: BaseException, verbosity: int = 0) -> int:
    """Print an error on one line, a DocumentError on one line per problem; return the exit code."""
    if verbosity > 1:
        traceback.print_exception(error)
    text = str(error) or type(error).__name__
    for line in text.splitlines() if isinstance(error, DocumentError) else (text,):
        print_message(f"nepiq: {' '.join(line.split())}")
    sys.stderr.flush()
    return error.exit_code if isinstance(error, NepiqError) else 1


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def resource_table(rows: list[Row], *, limit: int = _MAX_ROWS) -> Table:
    """Return a table of resources; above the limit, FAILED and STARTED ones take precedence."""
    table = _PlainTable()
    for name in ("resource", "type", "state", "for", "host", "note"):
        table.add_column(name, no_wrap=name != "note", overflow="ellipsis")
    visible = rows
    if len(rows) > limit:
        rank = {"FAILED": 0, "STARTED": 1, "NEW": 3}
        visible = sorted(rows, key=lambda row: (rank.get(row.state, 2), row.guid))[:limit]
        visible.sort(key=lambda row: row.guid)
    for row in visible:
        since = "" if row.since is None else duration(row.since)
        table.add_row(row.label, row.rtype, state_text(row.state), since, row.host, row.note)
    if len(rows) > len(visible):
        table.add_row(f"... and {len(rows) - len(visible)} more")
    return table


def simple_table(*columns: str) -> Table:
    """Return an empty table without borders."""
    table = _PlainTable()
    for name in columns:
        # A column is never narrower than its title, so that titles stay readable.
        table.add_column(
            name, no_wrap=name != columns[-1], overflow="ellipsis", min_width=len(name)
        )
    return table
