"""``nepiq top``: workers, queues and active runs of an installation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import RedisUnreachable
from ..reports.words import duration
from .console import Consoles, print_json, simple_table, state_text
from .runs import AsJson, reading

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..engine.installation import ActiveRun, Observer, Overview
    from ..engine.membership import WorkerInfo

LATE = 2.0
"""Seconds after which a due step counts as overdue: the sweeper runs once a second."""

_MAX_ROWS = 20
_WORST_FIRST = ("FAILED", "STARTED", "READY", "PROVISIONED", "RESERVED", "DISCOVERED", "NEW")


def top(
    once: Annotated[bool, typer.Option("--once", help="Print once and exit.")] = False,
    as_json: AsJson = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two updates.")] = 1.0,
) -> None:
    """Show workers, queues, active runs and overdue steps live, until ctrl-C.

    They are printed once if stdout is not a terminal, or with --json.
    """
    with reading() as access:
        from ..engine.installation import Observer

        observer = Observer(access.settings)
        try:
            out = Consoles().out
            if as_json:
                print_json(_document(observer.look()))
            elif once or not out.is_terminal:
                out.print(render(observer.look()))
            else:
                with suppress(KeyboardInterrupt):
                    _live(observer, every)
        finally:
            observer.close()


def _live(observer: Observer, every: float) -> None:
    from rich.live import Live
    from rich.text import Text

    view: RenderableType = render(observer.look())
    with Live(view, console=Consoles().out, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(every)
            try:
                view = render(observer.look())
            except RedisUnreachable as error:
                view = Text(str(error), style="bold red")
            live.update(view, refresh=True)


def _document(overview: Overview) -> Mapping[str, Any]:
    """Return the overview as JSON data."""
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


def render(overview: Overview) -> RenderableType:
    """Return the overview as tables."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_headline(overview), Text(), _workers(overview)]
    parts += [Text(), _queues(overview), Text(), _runs(overview)]
    late = [run for run in overview.runs if run.overdue > LATE]
    if late:
        parts.append(Text())
    for run in sorted(late, key=lambda run: -run.overdue)[:_MAX_ROWS]:
        line = f"overdue: step {run.late} of run {run.run_id}, {duration(run.overdue)}"
        parts.append(Text(line, style="bold red"))
    return Group(*parts)


def _headline(overview: Overview) -> RenderableType:
    from rich.text import Text

    from ..reports.words import plural, size

    alive = sum(worker.alive for worker in overview.workers)
    facts = overview.redis
    limit = f" of {size(facts.limit)}" if facts.limit else ""
    durability = "data is persistent" if facts.aof else "data is lost on a restart (no AOF)"
    if not facts.healthy:
        durability = "CANNOT WRITE ITS FILE"
    runs, workers = plural(len(overview.runs), "active run"), plural(alive, "worker")
    return Text(
        f"{workers}, {runs}; Redis: {size(facts.memory)}{limit}, {durability}", style="bold"
    )


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
        consumers = sum(worker.alive and name in worker.queues for worker in overview.workers)
        style = "" if consumers or not depth else "bold red"
        served = f"{consumers} workers" if consumers != 1 else "1 worker"
        table.add_row(name, str(depth), served, style=style)
    return table


def _runs(overview: Overview) -> RenderableType:
    table = simple_table("run", "experiment", "phase", "for", "resources")
    for run in list(reversed(overview.runs))[:_MAX_ROWS]:
        since = duration(max(0.0, overview.at - run.created))
        table.add_row(run.run_id, run.exp_id, state_text(run.phase), since, _states(run))
    if len(overview.runs) > _MAX_ROWS:
        table.add_row(f"... and {len(overview.runs) - _MAX_ROWS} more")
    return table


def _states(run: ActiveRun) -> str:
    ordered = sorted(run.states.items(), key=lambda item: _rank(item[0]))
    return ", ".join(f"{count} {state}" for state, count in ordered)


def _rank(state: str) -> int:
    return _WORST_FIRST.index(state) if state in _WORST_FIRST else len(_WORST_FIRST)
