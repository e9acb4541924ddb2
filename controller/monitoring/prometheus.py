"""An installation as Prometheus reads it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ..engine.messaging import queues
from ..errors import RedisUnreachable
from ..model.lifecycle import State

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

    from ..engine.installation import Overview

PHASES = ("RUNNING", "FAILED", "RELEASING", "RELEASED")
STATES = tuple(state.name for state in State)

Labelled = Iterable[tuple[tuple[str, ...], float]]


class SystemCollector:
    """Looks at the installation whenever Prometheus asks.

    Args:
        look: gives the overview; RedisUnreachable becomes ``nepiq_redis_up 0``.
    """

    def __init__(self, look: Callable[[], Overview]) -> None:
        self._look = look
        # Several may ask at the same time, each in a thread of the server.
        self._lock = threading.Lock()
        # A site whose last worker has said farewell has none, and so has to be named still.
        self._sites: set[str] = set()

    def describe(self) -> list[Metric]:
        """Nothing: to be registered costs no look."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics; one look at a time."""
        with self._lock:
            return iter(list(self._collect()))

    def _collect(self) -> Iterator[Metric]:
        began = time.monotonic()
        try:
            overview = self._look()
        except RedisUnreachable:
            yield _gauge("redis_up", "Whether Redis answers.", 0)
            return
        yield _gauge("redis_up", "Whether Redis answers.", 1)
        yield from self._runs(overview)
        yield from self._workers(overview)
        yield from _redis(overview)
        took = time.monotonic() - began
        yield _gauge("look_duration_seconds", "How long it took to ask Redis for all this.", took)

    def _runs(self, overview: Overview) -> Iterator[Metric]:
        runs = overview.runs
        phases = Counter(run.phase for run in runs if run.phase != "RELEASED")
        phases["RELEASED"] = overview.released
        text = "Runs that have work by phase, and released ones that are on record."
        yield _gauges("runs", text, ["phase"], (((name,), phases[name]) for name in PHASES))
        states: Counter[str] = Counter()
        for run in runs:
            states.update(run.states)
        text = "Resources of active runs, by state."
        yield _gauges("resources", text, ["state"], (((name,), states[name]) for name in STATES))
        alarms = sum(run.alarms for run in runs)
        yield _gauge("alarms", "Steps under way or due at a known moment.", alarms)
        overdue = max((run.overdue for run in runs), default=0.0)
        text = "How long the most overdue alarm has rung unheard."
        yield _gauge("alarm_overdue_seconds", text, overdue)
        todo = sum(run.todo for run in runs)
        yield _gauge("todo_entries", "Work that scripts left to the next call.", todo)

    def _workers(self, overview: Overview) -> Iterator[Metric]:
        alive = overview.alive()
        self._sites.update(alive)
        counted = (((site,), alive.get(site, 0)) for site in sorted(self._sites))
        yield _gauges("workers_alive", "Live workers by site.", ["site"], counted)
        running = sum(worker.running for worker in overview.workers if worker.alive)
        yield _gauge("workers_running_steps", "Steps that live workers carry out.", running)
        slots = sum(worker.slots for worker in overview.workers if worker.alive)
        yield _gauge("workers_slots", "Steps that live workers could carry out at once.", slots)
        depths = (((name, queues.site_of(name)), depth) for name, depth in overview.queues.items())
        text = "Messages that wait for a worker."
        yield _gauges("queue_messages", text, ["queue", "site"], depths)


def _redis(overview: Overview) -> Iterator[Metric]:
    facts = overview.redis
    yield _gauge("redis_memory_used_bytes", "Memory that Redis uses.", facts.memory)
    text = "Memory that Redis may use; 0 for any."
    yield _gauge("redis_memory_limit_bytes", text, facts.limit)
    yield _gauge("redis_clients", "Connections with Redis.", facts.clients)
    yield _gauge("redis_aof_enabled", "Whether Redis writes an append-only file.", facts.aof)
    text = "Whether Redis' last writes to its append-only file went well."
    yield _gauge("redis_aof_ok", text, facts.healthy)


def _gauge(name: str, text: str, value: float) -> Metric:
    return _gauges(name, text, [], [((), value)])


def _gauges(name: str, text: str, labels: list[str], values: Labelled) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"nepiq_{name}", text, labels=labels)
    for key, value in values:
        family.add_metric(key, float(value))
    return family


def registry(look: Callable[[], Overview]) -> CollectorRegistry:
    """What an exporter serves: the installation, and its own process."""
    from prometheus_client import ProcessCollector
    from prometheus_client.registry import CollectorRegistry

    made = CollectorRegistry()
    ProcessCollector(registry=made)
    made.register(SystemCollector(look))
    return made
