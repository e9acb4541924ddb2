"""``nepiq attach``: follow a run of another process."""

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
    run_name: RunName,
    release: Annotated[
        bool,
        typer.Option(
            "--release", help="Release the run when all resources except hosts have ended."
        ),
    ] = False,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Collect all outputs in this directory.")
    ] = None,
    timeout: Annotated[
        str, typer.Option(help="Stop following after this time, e.g. 10m; the run continues.")
    ] = "",
) -> None:
    """Follow a run live until all resources except hosts have ended, then print a report.

    This process is a client of the run, so the run is not released for lack of clients. Ctrl-C
    stops following; the run continues. The exit code is 1 if the run failed.
    """
    console = make_console(sys.stderr)
    deadline = Deadline.after(seconds(timeout)) if timeout else None
    access = Access()
    try:
        run = access.backend.run(run_name)
        link = Link(access, run)
        meta = run.store.meta()
        link.stay_seen(meta.release_after if meta else None)
        with Display(console) as display:
            try:
                if not display.live:
                    console.print(resource_table(rows(run.records())))
                display.add(run)
                _follow(link, deadline)
            except (KeyboardInterrupt, WaitTimeout):
                console.print(f"run {run.run_id} continues; see nepiq attach {run.run_id}")
                raise
            if release:
                link.release(None, None)
        failed = report(run, console, results, quiet=False)
        link.close()
    finally:
        access.close()
    raise typer.Exit(int(failed))


def _follow(link: Link, deadline: Deadline | None) -> None:
    """Wait until all deployed resources have ended, including those deployed meanwhile."""
    ended: set[int] = set()
    while True:
        deployed = link.run.store.deployed() - ended
        records = link.run.records(sorted(deployed)) if deployed else []
        pending = [
            record.guid
            for record in records
            if not record.is_host and registry.ends_by_itself(record.rtype)
        ]
        if not pending or not link.wait(
            pending, waiting.FINISHED, None if deadline is None else deadline.remaining
        ):
            return
        ended.update(deployed)
