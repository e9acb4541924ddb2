"""Metrics of an installation in the format of Prometheus."""

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
    """A collector that queries the installation at each scrape.

    Args:
        look: returns an overview; RedisUnreachable becomes ``nepiq_redis_up 0``.
    """

    def __init__(self, look: Callable[[], Overview]) -> None:
        self._look = look
        # Scrapes may overlap, each in a thread of the server.
        self._lock = threading.Lock()
        # A site keeps its metric, with value 0, after its last worker has left.
        self._sites: set[str] = set()

    def describe(self) -> list[Metric]:
        """Return no metrics, so that registration does not query the installation."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; concurrent calls are serialized."""
        with self._lock:
            return iter(list(self._collect()))

    def _collect(self) -> Iterator[Metric]:
        start = time.monotonic()
        try:
            overview = self._look()
        except RedisUnreachable:
            yield _gauge("redis_up", "1 if Redis answers, else 0.", 0)
            return
        yield _gauge("redis_up", "1 if Redis answers, else 0.", 1)
        yield from self._runs(overview)
        yield from self._workers(overview)
        yield from _redis(overview)
        elapsed = time.monotonic() - start
        yield _gauge(
            "look_duration_seconds", "Duration of the queries to Redis for this scrape.", elapsed
        )

    def _runs(self, overview: Overview) -> Iterator[Metric]:
        runs = overview.runs
        phases = Counter(run.phase for run in runs if run.phase != "RELEASED")
        phases["RELEASED"] = overview.released
        text = "Runs with pending work by phase, and released runs on record."
        yield _gauges("runs", text, ["phase"], (((name,), phases[name]) for name in PHASES))
        states: Counter[str] = Counter()
        for run in runs:
            states.update(run.states)
        text = "Resources of active runs, by state."
        yield _gauges("resources", text, ["state"], (((name,), states[name]) for name in STATES))
        alarms = sum(run.alarms for run in runs)
        yield _gauge("alarms", "Steps that are running or scheduled.", alarms)
        overdue = max((run.overdue for run in runs), default=0.0)
        text = "Age of the oldest due step that no worker has claimed."
        yield _gauge("alarm_overdue_seconds", text, overdue)
        todo = sum(run.todo for run in runs)
        yield _gauge("todo_entries", "Work items that scripts left for a later call.", todo)

    def _workers(self, overview: Overview) -> Iterator[Metric]:
        alive = overview.alive()
        self._sites.update(alive)
        counted = (((site,), alive.get(site, 0)) for site in sorted(self._sites))
        yield _gauges("workers_alive", "Live workers by site.", ["site"], counted)
        running = sum(worker.running for worker in overview.workers if worker.alive)
        yield _gauge("workers_running_steps", "Steps that live workers are executing.", running)
        slots = sum(worker.slots for worker in overview.workers if worker.alive)
        yield _gauge("workers_slots", "Steps that live workers can execute in parallel.", slots)
        depths = (((name, queues.site_of(name)), depth) for name, depth in overview.queues.items())
        text = "Messages waiting for a worker."
        yield _gauges("queue_messages", text, ["queue", "site"], depths)


def _redis(overview: Overview) -> Iterator[Metric]:
    facts = overview.redis
    yield _gauge("redis_memory_used_bytes", "Memory used by Redis.", facts.memory)
    text = "Memory limit of Redis; 0 for no limit."
    yield _gauge("redis_memory_limit_bytes", text, facts.limit)
    yield _gauge("redis_clients", "Client connections of Redis.", facts.clients)
    yield _gauge("redis_aof_enabled", "1 if Redis writes an append-only file, else 0.", facts.aof)
    text = "1 if the last writes to the append-only file succeeded, else 0."
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
    """Return the metrics of the installation and of the exporter process."""
    from prometheus_client import ProcessCollector
    from prometheus_client.registry import CollectorRegistry

    collectors = CollectorRegistry()
    ProcessCollector(registry=collectors)
    collectors.register(SystemCollector(look))
    return collectors
