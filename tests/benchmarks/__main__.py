"""``python -m tests.benchmarks --help``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from . import celery_peer, services, ssh_catalogue
from .catalogue import large, standard
from .measure import Outcome, Workload, measure
from .report import is_ours, table, write
from .ssh_hosts import Localhost, ssh_hosts
from .ssh_scripts import Site

PROBES = "tests.benchmarks.probes"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="how often each side runs (%(default)s)")
    add("--only", nargs="+", default=[""], metavar="NAME", help="workloads whose name begins so")
    add("--large", action="store_true", help="only experiments of 20 000 resources and more")
    add("--peers", action="store_true", help="leave nepiq out")
    add("--list", action="store_true", help="name the workloads and stop")
    add("--localhost", action="store_true", help="nepiq's hosts are this machine, without SSH")
    add("--max-sessions", type=int, default=10, help="sessions a connection may have (%(default)s)")
    add("--copy-mb", type=int, default=256, help="size of the file of ssh-copy (%(default)s)")
    add("--output", type=Path, default=Path("build/bench"), metavar="FOLDER")
    return parser.parse_args(arguments)


def _start(
    stack: ExitStack, options: argparse.Namespace, workloads: Sequence[Workload], site: Site
) -> None:
    """Start what the workloads need; what it is called goes to the environment and the site."""
    logs: Path = options.output
    site.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nepiq-bench-")))
    # As if all were installed: fresh interpreters find everything compiled after the first round,
    # ours in this work tree too, whatever the environment says about writing it there.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(site.folder / "compiled")
    redis = stack.enter_context(services.redis_server(site.folder))
    if any(item.ssh for item in workloads):
        _start_hosts(stack, options, site)
    if not all(item.ssh for item in workloads):
        _start_peer(stack, redis.socket, logs)
    if options.peers:
        return
    os.environ.update(
        NEPIQ_BROKER_URL=services.broker_url(redis.socket, 0),
        NEPIQ_STATE_URL=services.state_url(redis.socket, 1),
        NEPIQ_IMPORTS=PROBES,
    )
    # Imported here: the peers can be measured without it.
    from nepiq.controller.engine.messaging.celery_app import make_app

    app = make_app(os.environ["NEPIQ_BROKER_URL"])
    workers = stack.enter_context(services.workers(app, "nepiq.workers.app", {}, logs))
    site.servers = [redis.pid, *workers]


def _start_hosts(stack: ExitStack, options: argparse.Namespace, site: Site) -> None:
    folder = site.folder / "ssh"
    if options.localhost:
        site.hosts = Localhost(folder, (), 0, options.max_sessions)
    else:
        count = ssh_catalogue.MOST_HOSTS
        try:
            site.hosts = stack.enter_context(ssh_hosts(folder, count, options.max_sessions))
        except RuntimeError as error:
            site.no_hosts = str(error)  # what needs no SSH is measured all the same


def _start_peer(stack: ExitStack, socket: Path, logs: Path) -> None:
    peer = {
        celery_peer.BROKER: services.broker_url(socket, 2),
        celery_peer.STATE: services.state_url(socket, 3),
    }
    os.environ.update(peer)
    celery_peer.app.conf.update(broker_url=peer[celery_peer.BROKER])
    stack.enter_context(services.workers(celery_peer.app, celery_peer.__name__, peer, logs))


def _choose(options: argparse.Namespace, site: Site) -> list[Workload]:
    workloads = large() if options.large else [*standard(), *ssh_catalogue.workloads(site)]
    chosen = [item for item in workloads if item.name.startswith(tuple(options.only))]
    if options.peers:
        chosen = [_with(item, ours=False) for item in chosen]
    if options.localhost:
        chosen = [_with(item, ours=True) if item.ssh else item for item in chosen]
    return [item for item in chosen if item.sides]


def _with(workload: Workload, ours: bool) -> Workload:
    """Only one kind of sides: ours, or the peers."""
    sides = {name: run for name, run in workload.sides.items() if is_ours(name) == ours}
    return replace(workload, sides=sides)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 if a side failed."""
    options = _options(arguments)
    site = Site(options.copy_mb)
    workloads = _choose(options, site)
    if options.list:
        print("\n".join(f"{item.name:<20}{item.title}" for item in workloads))
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    results: list[tuple[Workload, dict[str, Outcome]]] = []
    with ExitStack() as stack:
        _start(stack, options, workloads, site)
        for workload in workloads:
            outcomes = measure(workload, options.rounds)
            results.append((workload, outcomes))
            print("\n".join(table(workload, outcomes)), end="\n\n", flush=True)
    print(f"written to {write(options.output, results)}")
    return int(any(outcome.error for _, sides in results for outcome in sides.values()))


if __name__ == "__main__":
    # By default SIGTERM ends it at once, and leaves the workers that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
