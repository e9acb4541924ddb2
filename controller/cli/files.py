"""Verbs that move files and lines, and list them: upload, download, files, logs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.text import Text

from ..engine.transfer.listing import LIMIT
from ..engine.transfer.outputs import Outputs, printable
from ..errors.text import one_line
from ..experiment import files as transfers
from ..experiment.connect import Access
from ..experiment.logs import logs as lines_of
from ..experiment.unpacking import skipped_text
from ..reports.words import clock, size
from .console import Talk, simple_table
from .runs import AsJson, ResourceName, RunName, find_record

#: Colours of labels in logs, one after the other, as docker compose does it.
_PALETTE = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")


def upload(
    run: RunName,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RESOURCE... FILE [PATH]",
            help="Resources by label or guid; a file, directory or pattern (in quotes) of this "
            "machine; and where it goes: relative to the run directory, or absolute; by default "
            "the own name of a file or directory.",
        ),
    ],
) -> None:
    """Bring files of this machine to the hosts of resources: a file, a directory, a pattern."""
    access = Access()
    try:
        found = access.stack.run(run)
        labels, file, path = _parted(words, {record.label for record in found.records()})
        guids = [find_record(found, label).guid for label in labels]
        with _bar(file.name) as progress:
            skipped = transfers.upload(found, guids, file, path, progress)
        _left_out(skipped)
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
        str,
        typer.Argument(
            metavar="NAME",
            help="A trace; a file or directory of the run directory, . for all of it; or a "
            "pattern (in quotes).",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="What to write, or a directory to write it into."),
    ] = Path(),
) -> None:
    """Bring outputs of a resource to this machine; a file goes on where it was broken off."""
    access = Access()
    try:
        found = access.stack.run(run)
        record = find_record(found, resource)
        with _bar(name) as progress:
            arrived = transfers.download(found, record.guid, name, output, progress)
        _left_out(arrived.skipped)
    finally:
        access.close()


def _left_out(skipped: Sequence[str]) -> None:
    if skipped:
        sys.stderr.write(f"left out: {skipped_text(skipped)}\n")


def files(
    run: RunName,
    resource: ResourceName,
    folder: Annotated[
        str, typer.Argument(metavar="DIRECTORY", help="A directory of the run directory; all.")
    ] = "",
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(help="How many at most.")] = LIMIT,
) -> None:
    """List the files of a resource's run directory."""
    access = Access()
    try:
        found = access.stack.run(run)
        listed = Outputs(found).files(find_record(found, resource), folder, limit)
    finally:
        access.close()
    if as_json:
        # In ASCII, since names need not be text.
        sys.stdout.write(json.dumps([asdict(file) for file in listed], indent=2) + "\n")
        return
    table = simple_table("kind", "size", "changed", "mode", "name")
    for file in listed:
        length = size(file.size) if file.kind == "file" else ""
        mode = f"{file.mode:04o}"
        table.add_row(file.kind, length, clock(file.mtime), mode, printable(file.name))
    Talk().out.print(table)


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
