"""``python -m tests.benchmarks --help``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from . import celery_peer, services
from .catalogue import large, standard
from .measure import Outcome, Samples, Workload, measure
from .report import OURS, table, write

PROBES = "tests.benchmarks.probes"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="how often each side runs (%(default)s)")
    add("--only", nargs="+", default=[""], metavar="NAME", help="workloads whose name begins so")
    add("--large", action="store_true", help="only experiments of 20 000 resources and more")
    add("--peers", action="store_true", help="leave nepiq out")
    add("--list", action="store_true", help="name the workloads and stop")
    add("--output", type=Path, default=Path("build/bench"), metavar="FOLDER")
    return parser.parse_args(arguments)


def _start(stack: ExitStack, peers_only: bool, logs: Path) -> None:
    """Start Redis and the workers of both sides; what they are called goes to the environment."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nepiq-bench-")))
    socket = stack.enter_context(services.redis_server(folder))
    peer = {
        celery_peer.BROKER: services.broker_url(socket, 2),
        celery_peer.STATE: services.state_url(socket, 3),
    }
    os.environ.update(peer)
    celery_peer.app.conf.update(broker_url=peer[celery_peer.BROKER])
    stack.enter_context(services.workers(celery_peer.app, celery_peer.__name__, peer, logs))
    if peers_only:
        return
    os.environ.update(
        NEPIQ_BROKER_URL=services.broker_url(socket, 0),
        NEPIQ_STATE_URL=services.state_url(socket, 1),
        NEPIQ_IMPORTS=PROBES,
    )
    # Imported here: the peers can be measured without it.
    from nepiq.controller.engine.broker import make_app

    app = make_app(os.environ["NEPIQ_BROKER_URL"])
    stack.enter_context(services.workers(app, "nepiq.workers.app", {}, logs))


def _choose(options: argparse.Namespace) -> list[Workload]:
    workloads = large() if options.large else standard()
    chosen = [item for item in workloads if item.name.startswith(tuple(options.only))]
    if options.peers:
        chosen = [replace(item, sides=_without_ours(item)) for item in chosen]
    return [item for item in chosen if item.sides]


def _without_ours(workload: Workload) -> dict[str, Callable[[], Samples]]:
    return {name: run for name, run in workload.sides.items() if name != OURS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 if a side failed."""
    options = _options(arguments)
    workloads = _choose(options)
    if options.list:
        print("\n".join(f"{item.name:<20}{item.title}" for item in workloads))
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    results: list[tuple[Workload, dict[str, Outcome]]] = []
    with ExitStack() as stack:
        _start(stack, options.peers, options.output)
        for workload in workloads:
            outcomes = measure(workload, options.rounds)
            results.append((workload, outcomes))
            print("\n".join(table(workload, outcomes)), end="\n\n", flush=True)
    print(f"written to {write(options.output, results)}")
    return int(any(outcome.error for _, sides in results for outcome in sides.values()))


if __name__ == "__main__":
    sys.exit(main())
