"""Verbs about runs: ls, status, why, release, forget."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UnknownResource
from ..experiment.connect import Access
from ..experiment.link import Link
from ..model.durations import seconds
from ..reports.failures import failures
from ..reports.history import history
from ..reports.tables import rows, summary
from ..reports.timeline import timeline
from ..reports.why import reasons
from ..reports.words import clock, plural, size
from .console import (
    Talk,
    ascii_only,
    print_json,
    resource_table,
    say,
    simple_table,
    state_text,
    tell,
)

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store import ResourceRecord

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's id, a unique beginning or end of it, an experiment's name for its latest "
        "run, or 'last'.",
    ),
]
ResourceName = Annotated[str, typer.Argument(metavar="RESOURCE", help="A label or a guid.")]


@contextmanager
def reading() -> Iterator[Access]:
    """Access for a verb that only reads: no worker is started for it."""
    access = Access(worker=False)
    try:
        yield access
    finally:
        access.close()


def ls(
    as_json: AsJson = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Say what each takes in Redis, too.")
    ] = False,
) -> None:
    """List the runs that Redis holds, the latest first.

    Their phase is RUNNING, FAILED (ended by a failure, not yet released), RELEASING or RELEASED.
    """
    taken: dict[str, int] = {}
    with reading() as access:
        infos = access.stack.runs()
        if memory:
            runs = [access.stack.exact_run(info.run_id) for info in infos]
            taken = {run.run_id: run.store.memory() for run in runs}
    if as_json:
        more = [{"memory": taken[info.run_id]} if memory else {} for info in infos]
        print_json([{**asdict(info), **own} for info, own in zip(infos, more, strict=True)])
        return
    if not infos:
        sys.stderr.write("no runs yet\n")
        return
    columns = ["run", "experiment", "phase", "created", "resources", "cause"]
    table = simple_table(*(columns[:5] + ["memory"] * memory + columns[5:]))
    for info in infos:
        cause = info.cause or {}
        error = (cause.get("error") or {}).get("message", "")
        told = f"{cause.get('label', '')}: {error}" if cause else ""
        live = f"{info.live} live" if info.live else ""
        phase = state_text(info.phase)
        used = [size(taken[info.run_id])] if memory else []
        table.add_row(info.run_id, info.exp_id, phase, clock(info.created), live, *used, told)
    Talk().out.print(table)


def status(
    run: RunName,
    as_json: AsJson = False,
    bars: Annotated[
        bool, typer.Option("--timeline", "-t", help="Draw what ran when, too.")
    ] = False,
) -> None:
    """Show where the resources of a run are, and what failed."""
    with reading() as access:
        found = access.stack.run(run)
        meta, records = found.store.meta(), found.records()
        events = list(history(found)) if bars else []
    if as_json:
        print_json({"run_id": found.run_id, "run": meta, "resources": records})
        return
    out = Talk().out
    if meta is not None:
        out.print(f"run {found.run_id} of {meta.exp_id}, {meta.phase}, since {clock(meta.created)}")
        for site, machine in meta.bindings.items():
            out.print(f"site {site}: its localhost is {machine}")
    out.print(summary(record.state for record in records))
    out.print(resource_table(rows(records)))
    for failure in failures(records):
        out.print(f"failed: {failure}", style="red")
    if events:
        labels = {record.guid: record.label for record in records}
        out.print(timeline(events, labels, width=out.width, ascii_only=ascii_only(out)))


def why(run: RunName, resource: ResourceName, as_json: AsJson = False) -> None:
    """Say what a resource waits for, or why it failed."""
    with reading() as access:
        found = access.stack.run(run)
        record = find_record(found, resource)
        told = reasons(found, record)
    if as_json:
        print_json({"label": record.label, "state": record.state, "reasons": told})
        return
    tell(f"{record.label} is {record.state}")
    for reason in told:
        tell(f"  {reason}")


def find_record(run: Run, name: str) -> ResourceRecord:
    """The record of a resource named by label or guid.

    Raises:
        UnknownResource: there is none; the message has near misses.
    """
    records = run.records()
    by_label = {record.label: record for record in records}
    by_guid = {str(record.guid): record for record in records}
    found = by_label.get(name) or by_guid.get(name)
    if found is None:
        raise UnknownResource(name, by_label, where=f"run {run.run_id}")
    return found


def release(
    run: RunName,
    timeout: Annotated[
        str, typer.Option(help="Wait at most so long, e.g. 90s; it goes on nevertheless.")
    ] = "",
    wait: Annotated[bool, typer.Option(help="Wait until everything is released.")] = True,
) -> None:
    """Release a run: end what it started and undo what it configured."""
    access = Access()
    try:
        if wait:
            release_run(access, run, seconds(timeout) if timeout else None)
        else:
            access.stack.run(run).release()
            sys.stderr.write("being released\n")
    finally:
        access.close()


def forget(run: RunName) -> None:
    """Drop the records of a released run at once. What is on hosts stays: nepiq clean."""
    with reading() as access:
        found = access.stack.forget(run)
    sys.stderr.write(f"run {found.run_id} is forgotten\n")


def release_run(access: Access, run: str, timeout: float | None) -> None:
    """Release a run, wait for it, and say what went wrong on the way."""
    found = access.stack.run(run)
    link = Link(access, found)
    if found.snapshot([]).phase != "RELEASED":
        link.release(None, timeout)
    problems = [item for item in failures(found.records()) if item.released]
    for problem in problems:
        say(f"release: {problem}")
    count = plural(len(found.store.guids()), "resource")
    sys.stderr.write(f"run {found.run_id} is released ({count})\n")
