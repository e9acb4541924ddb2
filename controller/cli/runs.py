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
    Consoles,
    ascii_only,
    print_json,
    print_line,
    print_message,
    resource_table,
    simple_table,
    state_text,
)

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store import ResourceRecord

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_RUN_HELP = (
    "Id of a run or a unique prefix or suffix of it, name of an experiment (its latest run), or "
    "'last'."
)
RunName = Annotated[str, typer.Argument(metavar="RUN", help=_RUN_HELP)]
ResourceName = Annotated[
    str, typer.Argument(metavar="RESOURCE", help="Label or guid of a resource.")
]


@contextmanager
def reading() -> Iterator[Access]:
    """Yield the connections of a verb that only reads; no worker is started for it."""
    access = Access(worker=False)
    try:
        yield access
    finally:
        access.close()


def ls(
    as_json: AsJson = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Also show the memory of each run in Redis.")
    ] = False,
) -> None:
    """List the runs on record, the latest first.

    The phase of a run is RUNNING, FAILED (not yet released), RELEASING or RELEASED.
    """
    memory_of: dict[str, int] = {}
    contents = 0
    with reading() as access:
        infos = access.backend.runs()
        if memory:
            runs = [access.backend.exact_run(info.run_id) for info in infos]
            memory_of = {run.run_id: run.store.memory() for run in runs}
            contents = access.backend.contents.used()
    if as_json:
        extras = [{"memory": memory_of[info.run_id]} if memory else {} for info in infos]
        print_json([{**asdict(info), **extra} for info, extra in zip(infos, extras, strict=True)])
        return
    if not infos:
        sys.stderr.write("no runs yet\n")
        return
    columns = ["run", "experiment", "phase", "created", "resources", "cause"]
    table = simple_table(*(columns[:5] + ["memory"] * memory + columns[5:]))
    for info in infos:
        cause = info.cause or {}
        error = (cause.get("error") or {}).get("message", "")
        cause_text = f"{cause.get('label', '')}: {error}" if cause else ""
        live = f"{info.live} live" if info.live else ""
        phase = state_text(info.phase)
        sizes = [size(memory_of[info.run_id])] if memory else []
        table.add_row(
            info.run_id, info.exp_id, phase, clock(info.created), live, *sizes, cause_text
        )
    Consoles().out.print(table)
    if contents:
        Consoles().out.print(f"files of applications: {size(contents)} (nepiq forget --contents)")


def status(
    run_name: RunName,
    as_json: AsJson = False,
    with_timeline: Annotated[
        bool, typer.Option("--timeline", "-t", help="Also draw the timeline.")
    ] = False,
) -> None:
    """Show the states of the resources of a run, and its failures."""
    with reading() as access:
        run = access.backend.run(run_name)
        meta, records = run.store.meta(), run.records()
        events = list(history(run)) if with_timeline else []
    if as_json:
        print_json({"run_id": run.run_id, "run": meta, "resources": records})
        return
    out = Consoles().out
    if meta is not None:
        out.print(f"run {run.run_id} of {meta.exp_id}, {meta.phase}, since {clock(meta.created)}")
        for site, machine in meta.bindings.items():
            out.print(f"site {site}: localhost is machine {machine}")
    out.print(summary(record.state for record in records))
    out.print(resource_table(rows(records)))
    for failure in failures(records):
        out.print(f"failed: {failure}", style="red")
    if events:
        labels = {record.guid: record.label for record in records}
        out.print(timeline(events, labels, width=out.width, ascii_only=ascii_only(out)))


def why(run_name: RunName, resource: ResourceName, as_json: AsJson = False) -> None:
    """Explain what a resource waits for, or why it failed."""
    with reading() as access:
        run = access.backend.run(run_name)
        record = find_record(run, resource)
        lines = reasons(run, record)
    if as_json:
        print_json({"label": record.label, "state": record.state, "reasons": lines})
        return
    print_line(f"{record.label} is {record.state}")
    for line in lines:
        print_line(f"  {line}")


def find_record(run: Run, name: str) -> ResourceRecord:
    """Return the record of a resource by label or guid.

    Raises:
        UnknownResource: the run has no such resource; the message suggests similar labels.
    """
    records = run.records()
    by_label = {record.label: record for record in records}
    by_guid = {str(record.guid): record for record in records}
    record = by_label.get(name) or by_guid.get(name)
    if record is None:
        raise UnknownResource(name, by_label, where=f"run {run.run_id}")
    return record


def release(
    run_name: RunName,
    timeout: Annotated[
        str, typer.Option(help="Stop waiting after this time, e.g. 90s; the release continues.")
    ] = "",
    wait: Annotated[bool, typer.Option(help="Wait until all resources are released.")] = True,
) -> None:
    """Release a run: stop its processes and undo its configuration."""
    access = Access()
    try:
        if wait:
            release_run(access, run_name, seconds(timeout) if timeout else None)
        else:
            access.backend.run(run_name).release()
            sys.stderr.write("release requested\n")
    finally:
        access.close()


def forget(
    run_name: Annotated[str, typer.Argument(metavar="[RUN]", help=_RUN_HELP)] = "",
    contents: Annotated[
        bool,
        typer.Option(
            "--contents",
            help="Instead delete the files of applications in Redis; later deployments bring them "
            "again.",
        ),
    ] = False,
) -> None:
    """Delete the records of a released run now. Files on hosts stay; see nepiq clean."""
    if bool(run_name) == contents:
        raise typer.BadParameter("give either a run or --contents")
    with reading() as access:
        if contents:
            freed = access.backend.contents.forget()
            sys.stderr.write(f"{size(freed)} of contents are forgotten\n")
            return
        run = access.backend.forget(run_name)
    sys.stderr.write(f"run {run.run_id} is forgotten\n")


def release_run(access: Access, run_name: str, timeout: float | None) -> None:
    """Release a run, wait for it, and print the errors of the release."""
    run = access.backend.run(run_name)
    link = Link(access, run)
    if run.snapshot([]).phase != "RELEASED":
        link.release(None, timeout)
    problems = [item for item in failures(run.records()) if item.released]
    for problem in problems:
        print_message(f"release: {problem}")
    count = plural(len(run.store.guids()), "resource")
    sys.stderr.write(f"run {run.run_id} is released ({count})\n")
