"""The workloads: what is measured, on which sides, and what it may cost."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from . import asynciojobs_peer, celery_peer
from .measure import Budget, Samples, Workload
from .report import OURS
from .work import NOTHING, SLEEP

CELERY, BATCHES, ASYNCIO = "celery", "celery x50", "asynciojobs"
BATCH = 50
CHAIN = 20


def _ours(function: str, *arguments: Any) -> Callable[[], Samples]:
    # Imported when called: the peers can then be measured without it.
    def run() -> Samples:
        side = importlib.import_module(f"{__package__}.nepiq_side")
        return list(getattr(side, function)(*arguments))

    return run


def _fan_out(
    count: int, work: str, limit: float | None = None, rounds: int | None = None
) -> Workload:
    doing = ", 20 ms work in each" if work else ""
    return Workload(
        name=f"fan-out-{count}{'-' + work if work else ''}",
        title=f"{count} starts{doing}: deploy() → all STARTED",
        sides={
            OURS: _ours("fan_out", count, work),
            CELERY: partial(celery_peer.fan_out, count, work),
            # Fifty sleeps in one message would sleep one after the other.
            **({} if work else {BATCHES: partial(celery_peer.fan_out, count, work, BATCH)}),
            ASYNCIO: partial(asynciojobs_peer.fan_out, count, work),
        },
        budgets=(Budget("median", limit),) if limit else (),
        rounds=rounds,
    )


def _chain(work: str) -> Workload:
    return Workload(
        name=f"chain{'-' + work if work else ''}",
        title=f"a hop in a chain of {CHAIN}{', 20 ms work in each' if work else ''}: "
        "start hook left → next entered",
        sides={
            OURS: _ours("chain", CHAIN, work),
            CELERY: partial(celery_peer.chain, CHAIN, work),
            ASYNCIO: partial(asynciojobs_peer.chain, CHAIN, work),
        },
        budgets=(Budget("median", 0.005), Budget("p95", 0.015)),
    )


def standard() -> list[Workload]:
    """What ``make bench`` measures."""
    limits = {1000: 0.3, 5000: 1.0}
    return [
        _chain(NOTHING),
        _chain(SLEEP),
        *(_fan_out(count, NOTHING, limits.get(count)) for count in (10, 100, 1000, 5000)),
        *(_fan_out(count, SLEEP) for count in (10, 100, 1000)),
        _fan_out(5000, SLEEP, rounds=1),
        Workload(
            name="fan-in-500",
            title="500 starts and one that waits for all: last hook left → its hook entered",
            sides={
                OURS: _ours("fan_in", 500),
                CELERY: partial(celery_peer.fan_in, 500),
                ASYNCIO: partial(asynciojobs_peer.fan_in, 500),
            },
        ),
        Workload(
            name="due-1000",
            title="1000 starts due at one instant: how late the last is",
            sides={
                OURS: _ours("due_together", 1000, 2.0),
                CELERY: partial(celery_peer.due_together, 1000, 2.0),
            },
            budgets=(Budget("median", 0.1),),
        ),
        Workload(
            name="first-deploy",
            title="fresh interpreter: import and first deploy() (Celery: first task sent)",
            sides={OURS: _ours("first_deploy"), CELERY: celery_peer.first_send},
            budgets=(Budget("median", 0.25),),
        ),
        Workload(
            name="command",
            title="a shell command on a warm local host: step claimed → committed, and a delivery",
            sides={
                OURS: _ours("commands", CHAIN),
                CELERY: partial(celery_peer.commands, CHAIN),
            },
            budgets=(Budget("median", 0.015),),
        ),
        Workload(
            name="application",
            title="one application on a warm local host: registered → its stdout in hand",
            sides={OURS: _ours("applications", 5)},
        ),
        Workload(
            name="exit",
            title="exit of a process → FINISHED seen by wait, and its stdout read",
            sides={OURS: _ours("exits", 5)},
            budgets=(Budget("median", 0.1),),
        ),
        _memory(5000),
    ]


def _memory(count: int) -> Workload:
    return Workload(
        name=f"memory-{count}",
        title=f"memory in Redis for each of {count} started resources",
        sides={OURS: _ours("memory", count)},
        budgets=(Budget("median", 1000),),
        unit="B",
        rounds=2,
    )


def large() -> list[Workload]:
    """What ``make soak`` measures: that time and memory stay linear."""
    counts = (20_000, 50_000, 100_000)
    return [*(_fan_out(count, NOTHING, rounds=2) for count in counts), _memory(100_000)]
