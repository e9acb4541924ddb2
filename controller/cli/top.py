"""The verb top: workers, queues and runs of an installation at this moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import RedisUnreachable
from ..reports.words import duration
from .console import Talk, print_json, simple_table, state_text
from .runs import AsJson, reading

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..engine.installation import ActiveRun, Observer, Overview
    from ..engine.membership import WorkerInfo

LATE = 2.0
"""Seconds from which an alarm counts as overdue: the sweeper looks once a second."""

_MOST = 20
_WORST_FIRST = ("FAILED", "STARTED", "READY", "PROVISIONED", "RESERVED", "DISCOVERED", "NEW")


def top(
    once: Annotated[bool, typer.Option("--once", help="Print it once.")] = False,
    as_json: AsJson = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
) -> None:
    """Show workers, queues, active runs and what is overdue, live, until ctrl-C.

    Where there is no terminal, and with --json, it is printed once.
    """
    with reading() as access:
        from ..engine.installation import Observer

        observer = Observer(access.settings)
        try:
            out = Talk().out
            if as_json:
                print_json(_document(observer.look()))
            elif once or not out.is_terminal:
                out.print(drawn(observer.look()))
            else:
                with suppress(KeyboardInterrupt):
                    _live(observer, every)
        finally:
            observer.close()


def _live(observer: Observer, every: float) -> None:
    from rich.live import Live
    from rich.text import Text

    shown: RenderableType = drawn(observer.look())
    with Live(shown, console=Talk().out, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(every)
            try:
                shown = drawn(observer.look())
            except RedisUnreachable as error:
                shown = Text(str(error), style="bold red")
            live.update(shown, refresh=True)


def _document(overview: Overview) -> Mapping[str, Any]:
    """The overview for programs."""
    from dataclasses import asdict

    workers = [
        {**asdict(worker), "sites": _sites(worker), "alive": worker.alive}
        for worker in overview.workers
    ]
    return {
        "time": overview.at,
        "workers": workers,
        "queues": dict(overview.queues),
        "runs": [asdict(run) for run in overview.runs],
        "released": overview.released,
        "redis": asdict(overview.redis),
    }


def drawn(overview: Overview) -> RenderableType:
    """The overview for people."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_headline(overview), Text(), _workers(overview)]
    parts += [Text(), _queues(overview), Text(), _runs(overview)]
    late = [run for run in overview.runs if run.overdue > LATE]
    if late:
        parts.append(Text())
    for run in sorted(late, key=lambda run: -run.overdue)[:_MOST]:
        told = f"overdue: step {run.late} of run {run.run_id}, {duration(run.overdue)}"
        parts.append(Text(told, style="bold red"))
    return Group(*parts)


def _headline(overview: Overview) -> RenderableType:
    from rich.text import Text

    from ..reports.words import plural, size

    alive = sum(worker.alive for worker in overview.workers)
    facts = overview.redis
    limit = f" of {size(facts.limit)}" if facts.limit else ""
    kept = "keeps its data" if facts.aof else "keeps nothing over a restart (no AOF)"
    if not facts.healthy:
        kept = "CANNOT WRITE ITS FILE"
    runs, workers = plural(len(overview.runs), "active run"), plural(alive, "worker")
    return Text(f"{workers}, {runs}; Redis: {size(facts.memory)}{limit}, {kept}", style="bold")


def _workers(overview: Overview) -> RenderableType:
    table = simple_table("worker", "sites", "machine", "running", "last seen")
    for worker in overview.workers:
        seen = f"{duration(worker.seen)} ago"
        slots = f"{worker.running} of {worker.slots}" if worker.slots else str(worker.running)
        row = (worker.name, " ".join(_sites(worker)), worker.machine, slots, seen)
        table.add_row(*row, style="" if worker.alive else "red")
    return table


def _sites(worker: WorkerInfo) -> list[str]:
    from ..engine.messaging import queues

    return sorted({site for site in map(queues.site_of, worker.queues) if site})


def _queues(overview: Overview) -> RenderableType:
    table = simple_table("queue", "waiting", "served by")
    for name, depth in overview.queues.items():
        served = sum(worker.alive and name in worker.queues for worker in overview.workers)
        style = "" if served or not depth else "bold red"
        table.add_row(
            name, str(depth), f"{served} workers" if served != 1 else "1 worker", style=style
        )
    return table


def _runs(overview: Overview) -> RenderableType:
    table = simple_table("run", "experiment", "phase", "for", "resources")
    for run in list(reversed(overview.runs))[:_MOST]:
        since = duration(max(0.0, overview.at - run.created))
        table.add_row(run.run_id, run.exp_id, state_text(run.phase), since, _states(run))
    if len(overview.runs) > _MOST:
        table.add_row(f"... and {len(overview.runs) - _MOST} more")
    return table


def _states(run: ActiveRun) -> str:
    ordered = sorted(run.states.items(), key=lambda item: _place(item[0]))
    return ", ".join(f"{count} {state}" for state, count in ordered)


def _place(state: str) -> int:
    return _WORST_FIRST.index(state) if state in _WORST_FIRST else len(_WORST_FIRST)
