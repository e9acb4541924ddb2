"""Verbs that move files and lines: upload, download, logs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.text import Text

from .. import exchange
from ..access import Access
from ..logs import logs as lines_of
from ..text import one_line
from .console import Talk
from .runs import ResourceName, RunName, find_record

#: Colours of labels in logs, one after the other, as docker compose does it.
_PALETTE = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")


def upload(
    run: RunName,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RESOURCE... FILE [PATH]",
            help="Resources by label or guid, a file of this machine, and where it goes: relative "
            "to the run directory, or absolute; by default the file's own name.",
        ),
    ],
) -> None:
    """Bring a file of this machine to the hosts of resources."""
    access = Access()
    try:
        found = access.stack.run(run)
        labels, file, path = _parted(words, {record.label for record in found.records()})
        guids = [find_record(found, label).guid for label in labels]
        with _bar(file.name) as progress:
            exchange.upload(found, guids, file, path, progress)
    finally:
        access.close()


def _parted(words: list[str], labels: set[str]) -> tuple[list[str], Path, str]:
    """Which words are resources, which the file, which the path on the host.

    Raises:
        BadParameter: they are too few.
    """
    known = 0
    while known < len(words) and (words[known] in labels or words[known].isdecimal()):
        known += 1
    # A file may be called like a resource.
    at = min(known, len(words) - 1) or 1
    if len(words) < 2 or len(words) - at > 2:
        raise typer.BadParameter("give resources, then a file, then a path if it needs one")
    return words[:at], Path(words[at]), words[at + 1] if len(words) > at + 1 else ""


def download(
    run: RunName,
    resource: ResourceName,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A trace, or a file of the run directory.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The file to write, or a directory to write it into."),
    ] = Path(),
) -> None:
    """Bring an output of a resource to this machine; goes on with what was broken off."""
    access = Access()
    try:
        found = access.stack.run(run)
        record = find_record(found, resource)
        with _bar(name) as progress:
            exchange.download(found, record.guid, name, output, progress)
    finally:
        access.close()


@contextlib.contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, if that is a terminal."""
    console = Talk().err
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    bar = Progress(
        *columns, TransferSpeedColumn(), console=console, disable=not console.is_terminal
    )
    with bar:
        task = bar.add_task(one_line(name), total=None)
        yield lambda count, total: bar.update(task, completed=count, total=total)


def logs(
    run: RunName,
    resources: Annotated[
        list[str] | None, typer.Argument(metavar="[RESOURCE]...", help="Labels or guids; all.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until they have ended.")
    ] = False,
) -> None:
    """Print what applications print, each line behind the label.

    On a terminal control characters are shown as text; into a pipe everything goes as it is.
    """
    access = Access()
    try:
        found = access.stack.run(run)
        guids = [find_record(found, name).guid for name in resources] if resources else None
        out = Talk().out
        colours: dict[str, str] = {}
        width = max((len(record.label) for record in found.records(guids)), default=0)
        for label, stream, line in lines_of(found, guids, follow=follow):
            colour = colours.setdefault(label, _PALETTE[len(colours) % len(_PALETTE)])
            mark = "!" if stream == "stderr" else "|"
            if out.is_terminal:
                text = Text(one_line(line))
                out.print(Text(f"{label:{width}} {mark} ", style=colour), text, sep="")
            else:
                sys.stdout.write(f"{label:{width}} {mark} {line}\n")
                sys.stdout.flush()
    finally:
        access.close()
