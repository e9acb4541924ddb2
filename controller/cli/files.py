"""Verbs for files and logs of resources: upload, download, files, logs."""

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
from .console import Consoles, simple_table
from .runs import AsJson, ResourceName, RunName, find_record

#: Colours of labels in logs, assigned in turn as docker compose does.
_PALETTE = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")


def upload(
    run_name: RunName,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RESOURCE... FILE [PATH]",
            help="Resources by label or guid; a local file, directory or pattern (in quotes); and "
            "the path on the host, absolute or relative to the run directory. The path defaults "
            "to the name of the file or directory.",
        ),
    ],
) -> None:
    """Upload local files to the hosts of resources: a file, a directory or a pattern."""
    access = Access()
    try:
        run = access.backend.run(run_name)
        labels, file, path = _split(words, {record.label for record in run.records()})
        guids = [find_record(run, label).guid for label in labels]
        with _progress_bar(file.name) as progress:
            skipped = transfers.upload(run, guids, file, path, progress)
        _print_skipped(skipped)
    finally:
        access.close()


def _split(words: list[str], labels: set[str]) -> tuple[list[str], Path, str]:
    """Split the arguments into resources, the file and the path on the host.

    Raises:
        BadParameter: there are too few arguments, or too many after the file.
    """
    count = 0
    while count < len(words) and (words[count] in labels or words[count].isdecimal()):
        count += 1
    # A file may have the name of a resource.
    at = min(count, len(words) - 1) or 1
    if len(words) < 2 or len(words) - at > 2:
        raise typer.BadParameter("give resources, then a file, then optionally a path")
    return words[:at], Path(words[at]), words[at + 1] if len(words) > at + 1 else ""


def download(
    run_name: RunName,
    resource: ResourceName,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A trace; a file or directory in the run directory, or . for all of it; or a "
            "pattern (in quotes).",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File to write, or directory to write into.",
        ),
    ] = ".",
) -> None:
    """Download outputs of a resource; an interrupted download of a file is resumed."""
    access = Access()
    try:
        run = access.backend.run(run_name)
        record = find_record(run, resource)
        with _progress_bar(name) as progress:
            result = transfers.download(run, record.guid, name, output, progress)
        _print_skipped(result.skipped)
    finally:
        access.close()


def _print_skipped(skipped: Sequence[str]) -> None:
    if skipped:
        sys.stderr.write(f"left out: {skipped_text(skipped)}\n")


def files(
    run_name: RunName,
    resource: ResourceName,
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIRECTORY", help="A directory in the run directory; all of it by default."
        ),
    ] = "",
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(help="Maximum number of files.")] = LIMIT,
) -> None:
    """List the files in the run directory of a resource."""
    access = Access()
    try:
        run = access.backend.run(run_name)
        entries = Outputs(run).files(find_record(run, resource), folder, limit)
    finally:
        access.close()
    if as_json:
        # ASCII only: file names need not be valid text.
        sys.stdout.write(json.dumps([asdict(entry) for entry in entries], indent=2) + "\n")
        return
    table = simple_table("kind", "size", "changed", "mode", "name")
    for entry in entries:
        length = size(entry.size) if entry.kind == "file" else ""
        mode = f"{entry.mode:04o}"
        table.add_row(entry.kind, length, clock(entry.mtime), mode, printable(entry.name))
    Consoles().out.print(table)


@contextlib.contextmanager
def _progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar if stderr is a terminal; yield its update function."""
    console = Consoles().err
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    bar = Progress(
        *columns, TransferSpeedColumn(), console=console, disable=not console.is_terminal
    )
    with bar:
        task = bar.add_task(one_line(name), total=None)
        yield lambda count, total: bar.update(task, completed=count, total=total)


def logs(
    run_name: RunName,
    resources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RESOURCE]...", help="Labels or guids; all by default."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Keep printing until all applications have ended."),
    ] = False,
) -> None:
    """Print the output lines of applications, each prefixed by its label.

    On a terminal, control characters are printed as text; a pipe gets lines unchanged.
    """
    access = Access()
    try:
        run = access.backend.run(run_name)
        guids = [find_record(run, name).guid for name in resources] if resources else None
        out = Consoles().out
        colours: dict[str, str] = {}
        width = max((len(record.label) for record in run.records(guids)), default=0)
        for label, stream, line in lines_of(run, guids, follow=follow):
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
