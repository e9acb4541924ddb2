"""The report at the end of a run: its timeline, figures, outputs and failures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ..engine import Run
from ..reports.failures import failures
from ..reports.figures import figures
from ..reports.history import history
from ..reports.timeline import timeline
from ..reports.words import plural, size
from .console import ascii_only, simple_table
from .results import collect_into

if TYPE_CHECKING:
    from ..engine.store.records import ResourceRecord


def report(run: Run, console: Console, folder: Path | None, *, quiet: bool) -> bool:
    """Print a report of a run; return True if the run failed.

    Args:
        run: the run.
        console: the console to print on.
        folder: directory to collect the outputs in; None to not collect them.
        quiet: print failures only.
    """
    meta, records = run.store.meta(), run.records()
    if meta is None:
        return False
    if not quiet and records:
        labels = {record.guid: record.label for record in records}
        console.print(f"\nrun {run.run_id} of {run.exp_id}: {meta.phase}", style="bold")
        width = min(console.width, 120)
        drawing = timeline(list(history(run)), labels, width=width, ascii_only=ascii_only(console))
        console.print(drawing, soft_wrap=True)
        _show_figures(records, console)
        _show_outputs(run, console)
    for failure in failures(records):
        console.print(f"failed: {failure}", style="red", soft_wrap=True)
    if folder is not None:
        collect_into(run, folder)
    return meta.cause is not None


def _show_figures(records: Sequence[ResourceRecord], console: Console) -> None:
    table = simple_table("figures of", "")
    for label, found in figures(records):
        table.add_row(label, found)
    if table.row_count:
        console.print()
        console.print(table)


def _show_outputs(run: Run, console: Console) -> None:
    """Print the size and the first line of each output that was recorded with an exit."""
    table = simple_table("output", "size", "begins with")
    for record in run.records():
        for (incarnation, name), data in sorted(run.store.outputs(record.guid).items()):
            if data and incarnation == record.occ:
                first = data.decode("utf-8", "replace").strip().split("\n")[0]
                begins = first if len(first) <= 60 else first[:57] + "..."
                table.add_row(f"{record.label} {name}", size(len(data)), begins)
    if table.row_count:
        console.print()
        console.print(table)
        console.print(
            f"{plural(table.row_count, 'output')}; in full: nepiq trace {run.run_id} RESOURCE",
            style="bright_black",
        )
