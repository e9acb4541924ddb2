"""Verbs about what runs wrote: trace, results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..access import Access
from ..engine import Run
from ..errors import HostError
from ..reports.outputs import Outputs
from ..reports.results import Saved, collect
from ..reports.words import plural, size
from .runs import ResourceName, RunName, find_record


def trace(
    run: RunName,
    resource: ResourceName,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A trace, or a file of the run directory.")
    ] = "stdout",
) -> None:
    """Print an output of a resource, byte for byte."""
    access = Access()
    try:
        found = access.stack.run(run)
        for block in Outputs(found).read(find_record(found, resource), name):
            sys.stdout.buffer.write(block)
        sys.stdout.flush()
    finally:
        access.close()


def results(
    run: RunName,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to; made if it does not exist.")
    ],
) -> None:
    """Collect all outputs and the history of a run in a folder."""
    access = Access()
    try:
        collect_into(access.stack.run(run), folder)
    finally:
        access.close()


def collect_into(run: Run, folder: Path) -> None:
    """Collect a run's results and say what is missing.

    Raises:
        HostError: some could not be had.
    """

    def said(saved: Saved) -> None:
        if saved.error:
            sys.stderr.write(f"missing: {saved.label} {saved.name}: {saved.error}\n")

    saved = collect(run, folder, said=said)
    kept = [item for item in saved if not item.error]
    total = size(sum(item.bytes for item in kept))
    sys.stderr.write(f"{plural(len(kept), 'trace')}, {total}, in {folder}\n")
    if len(kept) < len(saved):
        raise HostError(f"{plural(len(saved) - len(kept), 'trace')} could not be collected")
