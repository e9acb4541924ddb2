"""Threads that share one experiment: each runs what is its own, and says what went wrong."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.stand import Stand

from nepiq.controller import ExperimentController

PATIENCE = 60


@contextmanager
def hurried() -> Iterator[None]:
    """Let Python change threads as often as it can, so that what is not guarded goes wrong."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def together(tasks: list[Callable[[], object]]) -> list[str]:
    """Carry out each in a thread of its own, all at once; what they raised."""
    start, wrong = threading.Barrier(len(tasks)), []

    def carry_out(task: Callable[[], object]) -> None:
        start.wait()
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - it is what the test is about
            wrong.append(f"{type(error).__name__}: {error}")

    threads = [
        threading.Thread(target=carry_out, args=(task,), name=f"user-{number}", daemon=True)
        for number, task in enumerate(tasks)
    ]
    end = time.monotonic() + 2 * PATIENCE
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    wrong += [f"{thread.name} has not ended" for thread in threads if thread.is_alive()]
    return wrong


def outputs(ec: ExperimentController, threads: int, tag: str) -> list[str]:
    """Each thread registers, deploys, waits and reads an output of its own; what was wrong."""
    shared = ec.register_resource("linux::Node")

    def mine(number: int) -> None:
        said = f"{tag} {number}"
        node = shared if number % 4 else ec.register_resource("linux::Node")
        app = ec.register_resource("linux::Application", command=f"echo {said}")
        ec.register_connection(app, node)
        ec.set(app, "env", f"NUMBER={number}")
        ec.deploy([node, app])
        assert ec.wait_finished(app, timeout=PATIENCE), ec.failures
        told = ec.trace(app, "stdout")
        assert told == f"{said}\n", f"{app} of {said!r} printed {told!r}"
        assert ec.get(app, "env") == f"NUMBER={number}"
        assert ec.get_resource(app) is not None
        assert ec.connections(app) == [node]

    return together([lambda number=number: mine(number) for number in range(threads)])


def a_round(stand: Stand, tag: str, threads: int = 24) -> list[str]:
    """One experiment that threads share, from its description to its release."""
    with hurried(), stand.experiment(f"shared-{tag}", quiet=True) as ec:
        wrong = outputs(ec, threads, tag)
        ec.shutdown()
    return wrong
