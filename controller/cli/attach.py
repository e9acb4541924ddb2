"""``nepiq attach``: follows a run that somebody else has begun."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import WaitTimeout
from ..experiment import waiting
from ..experiment.connect import Access
from ..experiment.link import Link
from ..model import registry
from ..model.durations import Deadline, seconds
from ..reports.tables import rows
from .console import make_console, resource_table
from .live_table import Display
from .report import report
from .runs import RunName


def attach(
    run: RunName,
    release: Annotated[
        bool, typer.Option("--release", help="Release it when all but its hosts have ended.")
    ] = False,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Collect all outputs in this folder.")
    ] = None,
    timeout: Annotated[
        str, typer.Option(help="Follow it at most so long, e.g. 10m; it goes on nevertheless.")
    ] = "",
) -> None:
    """Follow a run live until all but its hosts have ended, then show how it went.

    It counts as a client of the run, which is thus not released meanwhile for want of one.
    Ctrl-C ends the following and leaves the run alone. The exit code is 1 if the run failed.
    """
    console = make_console(sys.stderr)
    patience = Deadline.after(seconds(timeout)) if timeout else None
    access = Access()
    try:
        found = access.stack.run(run)
        link = Link(access, found)
        meta = found.store.meta()
        link.stay_seen(meta.release_after if meta else None)
        with Display(console) as display:
            try:
                if not display.live:
                    console.print(resource_table(rows(found.records())))
                display.add(found)
                _follow(link, patience)
            except (KeyboardInterrupt, WaitTimeout):
                console.print(f"run {found.run_id} goes on; nepiq attach {found.run_id}")
                raise
            if release:
                link.release(None, None)
        failed = report(found, console, results, quiet=False)
        link.close()
    finally:
        access.close()
    raise typer.Exit(int(failed))


def _follow(link: Link, patience: Deadline | None) -> None:
    """Wait for all that is deployed, also by others meanwhile."""
    ended: set[int] = set()
    while True:
        deployed = link.run.store.deployed() - ended
        records = link.run.records(sorted(deployed)) if deployed else []
        pending = [
            record.guid
            for record in records
            if not (record.is_host or registry.is_internal(record.rtype))
        ]
        if not pending or not link.wait(
            pending, waiting.FINISHED, None if patience is None else patience.remaining
        ):
            return
        ended.update(deployed)
