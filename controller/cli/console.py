"""Where the command line prints: data to stdout, talk to stderr, errors on one line."""

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
from ..errors.text import escaped_in_json, harmless, one_line
from ..reports.tables import Row
from ..reports.words import duration

#: Colours of states, as everywhere in the command line. NO_COLOR is obeyed by rich.
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
_MANY = 40
_PIPE_WIDTH = 160


class _Console(Console):
    """A console on which text of others is harmless, whatever it is printed in."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text as it is printed, which thus is as wide as it was measured."""
        return super().render_str(harmless(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The parts of what is printed; control codes of rich itself are parts of their own."""
        for part in super().render(renderable, options):
            if part.control:
                yield part
            else:
                yield Segment(harmless(part.text), part.style)


class _Rows(Table):
    """A table without lines, each row of which is one line of text."""

    def __init__(self) -> None:
        super().__init__(box=None, pad_edge=False, header_style="bold")

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row."""
        made = (one_line(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*made, **options)


class Talk:
    """The two consoles of one invocation, and how much is said.

    Attributes:
        verbosity: 0, 1 for more, 2 for tracebacks too.
    """

    def __init__(self) -> None:
        self.verbosity = 0
        self.out = make_console(sys.stdout)
        self.err = make_console(sys.stderr)


def make_console(stream: TextIO) -> Console:
    """A console that wraps lines on a terminal only: a pipe gets them whole.

    It prints texts as they are, also what looks like markup, but for control characters.
    """
    # ``width`` is given once it is known that it is needed: rich looks at the terminal for it.
    console = _Console(file=stream, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


def ascii_only(console: Console) -> bool:
    """True if a console cannot show more than ASCII for sure."""
    return not str(console.encoding).lower().startswith("utf")


def print_json(value: Any) -> None:
    """Print data for programs: one JSON document."""
    text = json.dumps(value, default=_plain, indent=2, ensure_ascii=False)
    # json escapes some of the control characters; the same data with all of them escaped.
    sys.stdout.write(escaped_in_json(text) + "\n")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    return list(value)


def say(text: str) -> None:
    """Print a line of talk, which may quote others."""
    sys.stderr.write(f"{one_line(text)}\n")


def tell(text: str) -> None:
    """Print a line for which the verb was called, which may quote others."""
    sys.stdout.write(f"{one_line(text)}\n")


def complain(error: BaseException, verbosity: int = 0) -> int:
    """Say what went wrong, each thing on one line; return the exit code that stands for it."""
    if verbosity > 1:
        traceback.print_exception(error)
    text = str(error) or type(error).__name__
    for line in text.splitlines() if isinstance(error, DocumentError) else (text,):
        say(f"nepiq: {' '.join(line.split())}")
    sys.stderr.flush()
    return error.exit_code if isinstance(error, NepiqError) else 1


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def resource_table(rows: list[Row], *, most: int = _MANY) -> Table:
    """Resources as a table; of very many, those that matter most."""
    table = _Rows()
    for name in ("resource", "type", "state", "for", "host", "note"):
        table.add_column(name, no_wrap=name != "note", overflow="ellipsis")
    shown = rows
    if len(rows) > most:
        weight = {"FAILED": 0, "STARTED": 1, "NEW": 3}
        shown = sorted(rows, key=lambda row: (weight.get(row.state, 2), row.guid))[:most]
        shown.sort(key=lambda row: row.guid)
    for row in shown:
        since = "" if row.since is None else duration(row.since)
        table.add_row(row.label, row.rtype, state_text(row.state), since, row.host, row.note)
    if len(rows) > len(shown):
        table.add_row(f"... and {len(rows) - len(shown)} more")
    return table


def simple_table(*columns: str) -> Table:
    """A table without lines."""
    table = _Rows()
    for name in columns:
        # Titles are read on narrow terminals too, and figures are no longer than they.
        table.add_column(
            name, no_wrap=name != columns[-1], overflow="ellipsis", min_width=len(name)
        )
    return table
