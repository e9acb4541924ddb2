"""``nepiq drain``: shut down workers after their running steps."""

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
from .console import print_message
from .runs import reading

#: Seconds beyond the timeout for a worker to receive the request and to exit.
_GRACE_SECONDS = 30.0


def drain(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="Workers or worker machines, as shown by nepiq doctor."
        ),
    ],
    timeout: Annotated[
        str, typer.Option(help="Time for running steps to finish; other workers then retry them.")
    ] = "60s",
    wait: Annotated[bool, typer.Option(help="Wait until the workers have ended.")] = True,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also drain workers that localhost nodes of runs depend on."),
    ] = False,
) -> None:
    """Shut down workers: they accept no new steps, finish running ones, and exit.

    Steps that they have not begun are handed over to other workers at once. This works from any
    machine.
    """
    limit = seconds(timeout)
    with reading() as access:
        workers = _select(names, [info for info in access.backend.workers() if info.alive])
        bound = _bound_nodes(access, workers)
        if bound and not force:
            raise NotAllowed(
                f"no other worker can act on these localhost nodes: {some(bound, 5)}",
                hint="start another worker on that machine, release these runs, or use --force: "
                "they then fail unless a worker is started there within a minute",
            )
        membership.drain(access.backend.redis, [info.name for info in workers], limit)
        if not wait:
            sys.stderr.write(f"requested {plural(len(workers), 'worker')} to shut down\n")
            return
        _wait(access, {info.name for info in workers}, limit)


def _select(names: Sequence[str], alive: Sequence[WorkerInfo]) -> list[WorkerInfo]:
    selected: dict[str, WorkerInfo] = {}
    for name in names:
        matching = [i for i in alive if name in (i.name, i.name.partition("@")[0], i.machine)]
        if not matching:
            candidates = sorted({i.name for i in alive} | {i.machine for i in alive})
            near = difflib.get_close_matches(name, candidates, n=3) or candidates[:5]
            raise InvalidValue(
                f"no live worker or machine {quoted(name)}",
                hint="known: " + ", ".join(near) if near else "there are no live workers",
            )
        selected.update((info.name, info) for info in matching)
    return list(selected.values())


def _bound_nodes(access: Access, selected: Iterable[WorkerInfo]) -> list[str]:
    """Return descriptions of the localhost nodes that only the selected workers can act on."""
    leaving = {info.name for info in selected}
    staying = {i.machine for i in access.backend.workers() if i.serving and i.name not in leaving}
    stranded = {info.machine for info in selected} - staying
    nodes = []
    for info in access.backend.runs():
        run = access.backend.exact_run(info.run_id)
        meta = run.store.meta() if info.phase != "RELEASED" else None
        sites = {s for s, m in (meta.bindings if meta else {}).items() if m in stranded}
        if not sites:
            continue
        nodes += [
            f"{record.label} of {info.exp_id} (run {info.run_id})"
            for record in run.records()
            if record.is_host and record.local and record.site in sites
            if record.state != "RELEASED"
        ]
    return nodes


def _wait(access: Access, names: set[str], limit: float) -> None:
    end = time.monotonic() + limit + _GRACE_SECONDS
    printed: dict[str, str] = {}
    while True:
        remaining = {i.name: i for i in access.backend.workers() if i.alive and i.name in names}
        for name in sorted(names):
            status = _status(remaining.get(name))
            if printed.get(name) != status:
                printed[name] = status
                print_message(f"{name}: {status}")
        if not remaining:
            return
        if time.monotonic() > end:
            raise WaitTimeout(
                f"not ended after {limit + _GRACE_SECONDS:g} s: {some(sorted(remaining))}",
                hint="see the log of the worker; after a kill, other workers take over its steps",
            )
        # Workers report every three seconds by setting a key, which causes no event.
        time.sleep(0.2)


def _status(info: Any) -> str:
    if info is None:
        return "has ended"
    if not info.draining:
        return "has been requested to shut down"
    return f"is finishing {plural(info.running, 'step')}" if info.running else "is exiting"
