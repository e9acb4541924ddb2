"""Drain: have workers end, with all that they hold handed over."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from ..engine import WorkerInfo, membership
from ..errors import InvalidValue, NotAllowed, WaitTimeout
from ..errors.text import quoted
from ..experiment.connect import Access
from ..model.durations import seconds
from ..reports.words import plural, some
from .console import say
from .runs import reading

#: Seconds beyond its time that a worker gets to hear of it, and to end.
_MORE = 30.0


def drain(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="Workers or worker machines, as in nepiq doctor."),
    ],
    timeout: Annotated[
        str, typer.Option(help="What running steps are given; then others begin them again.")
    ] = "60s",
    wait: Annotated[bool, typer.Option(help="Wait until they have ended.")] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Also where localhost nodes of runs are bound to.")
    ] = False,
) -> None:
    """Have workers take no new steps, finish those they carry out, and end.

    What they hold and have not begun goes to other workers at once. Works from any machine.
    """
    limit = seconds(timeout)
    with reading() as access:
        chosen = _chosen(names, [info for info in access.stack.workers() if info.alive])
        bound = _bound(access, chosen)
        if bound and not force:
            raise NotAllowed(
                f"nobody else can act on what is bound there: {some(bound, 5)}",
                hint="start another worker on that machine, release these runs, or use --force: "
                "then they fail unless a worker is started there within a minute",
            )
        membership.drain(access.stack.redis, [info.name for info in chosen], limit)
        if not wait:
            sys.stderr.write(f"asked {plural(len(chosen), 'worker')} to end\n")
            return
        _wait(access, {info.name for info in chosen}, limit)


def _chosen(names: Sequence[str], alive: Sequence[WorkerInfo]) -> list[WorkerInfo]:
    found: dict[str, WorkerInfo] = {}
    for name in names:
        matching = [i for i in alive if name in (i.name, i.name.partition("@")[0], i.machine)]
        if not matching:
            known = sorted({i.name for i in alive} | {i.machine for i in alive})
            near = difflib.get_close_matches(name, known, n=3) or known[:5]
            raise InvalidValue(
                f"no live worker or machine {quoted(name)}",
                hint="known: " + ", ".join(near) if near else "there are no live workers",
            )
        found.update((info.name, info) for info in matching)
    return list(found.values())


def _bound(access: Access, chosen: Iterable[WorkerInfo]) -> list[str]:
    """Localhost nodes that only the chosen workers can act on, in words."""
    leaving = {info.name for info in chosen}
    staying = {i.machine for i in access.stack.workers() if i.serving and i.name not in leaving}
    stranded = {info.machine for info in chosen} - staying
    found = []
    for info in access.stack.runs():
        run = access.stack.exact_run(info.run_id)
        meta = run.store.meta() if info.phase != "RELEASED" else None
        sites = {s for s, m in (meta.bindings if meta else {}).items() if m in stranded}
        if not sites:
            continue
        found += [
            f"{record.label} of {info.exp_id} (run {info.run_id})"
            for record in run.records()
            if record.is_host and record.local and record.site in sites
            if record.state != "RELEASED"
        ]
    return found


def _wait(access: Access, names: set[str], limit: float) -> None:
    end = time.monotonic() + limit + _MORE
    told: dict[str, str] = {}
    while True:
        there = {i.name: i for i in access.stack.workers() if i.alive and i.name in names}
        for name in sorted(names):
            said = _said(there.get(name))
            if told.get(name) != said:
                told[name] = said
                say(f"{name}: {said}")
        if not there:
            return
        if time.monotonic() > end:
            raise WaitTimeout(
                f"not ended after {limit + _MORE:g} s: {some(sorted(there))}",
                hint="look at its log; its steps go to others once it is killed",
            )
        # Workers tell of themselves every three seconds, by a key that gives no event.
        time.sleep(0.2)


def _said(info: Any) -> str:
    if info is None:
        return "has ended"
    if not info.draining:
        return "is asked to end"
    return f"finishes {plural(info.running, 'step')}" if info.running else "ends"
