"""A random dependency graph of null resources and real applications, and what must hold of it."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass

from nepiq.controller import ExperimentController, ResourceAction, ResourceState
from nepiq.controller.engine import Run

# Each launch appends lines of its own, so that running twice would show. The clock is read
# without starting a process, which on a busy machine would take longer than what is measured.
COMMAND = (
    "read now rest </proc/uptime; echo began $now >>times; sleep {life}; "
    "read now rest </proc/uptime; echo ended $now >>times"
)
OFFSETS = (0.0, 0.0, 0.0, 0.1, 0.3)


@dataclass(frozen=True)
class Edge:
    """``waiter`` starts ``offset`` seconds after ``target`` reached ``milestone``."""

    waiter: int
    target: int
    milestone: ResourceState
    offset: float


@dataclass
class Graph:
    """A described experiment, with its edges."""

    node: int
    nulls: list[int]
    apps: list[int]
    edges: list[Edge]

    @property
    def all(self) -> list[int]:
        """Everything but the node."""
        return self.nulls + self.apps


def describe(ec: ExperimentController, seed: int, *, nulls: int, apps: int) -> Graph:
    """Describe a graph whose edges run from later to earlier resources."""
    rng = random.Random(seed)
    node = ec.register_resource("linux::Node", label="node")
    kinds = ["null"] * nulls + ["app"] * apps
    rng.shuffle(kinds)
    graph = Graph(node, [], [], [])
    order: list[int] = []
    for number, kind in enumerate(kinds):
        if kind == "null":
            guid = ec.register_resource("nepiq::Null", label=f"null-{number}")
            graph.nulls.append(guid)
        else:
            command = COMMAND.format(life=rng.choice([0, 0.05, 0.2]))
            guid = ec.register_resource(
                "linux::Application",
                label=f"app-{number}",
                command=command,
                startedWhen="file:times",  # STARTED when it has written its time, not before
                connectedTo=node,
            )
            graph.apps.append(guid)
        recent = order[-12:]
        for target in rng.sample(recent, min(len(recent), rng.choice([0, 1, 1, 2]))):
            ended = target in graph.apps and rng.random() < 0.5
            milestone = ResourceState.FINISHED if ended else ResourceState.STARTED
            # Offsets among nulls would only add up along the longest path.
            offset = rng.choice(OFFSETS) if target in graph.apps or kind == "app" else 0.0
            graph.edges.append(Edge(guid, target, milestone, offset))
            ec.register_condition(guid, ResourceAction.START, target, milestone, f"{offset}s")
        order.append(guid)
    return graph


def times(
    ec: ExperimentController, graph: Graph, run: Run
) -> dict[int, dict[ResourceState, float]]:
    """When everything happened: applications by what their own commands wrote.

    Fails unless each application ran exactly once.
    """
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found: dict[int, dict[ResourceState, float]] = {}
    for guid in graph.nulls:
        milestones = run.record(guid).milestones
        found[guid] = {ResourceState.STARTED: milestones["STARTED"]}
    for guid in graph.apps:
        lines = [line.split() for line in ec.trace(guid, "times").splitlines()]
        assert [line[0] for line in lines] == ["began", "ended"], (guid, lines)
        found[guid] = {
            ResourceState.STARTED: boot + float(lines[0][1]),
            ResourceState.FINISHED: boot + float(lines[1][1]),
        }
    return found


def check_order(graph: Graph, when: dict[int, dict[ResourceState, float]], slack: float) -> None:
    """Nothing began before what it waits for, plus the offset."""
    for edge in graph.edges:
        gate = when[edge.target][edge.milestone] + edge.offset
        began = when[edge.waiter][ResourceState.STARTED]
        assert began >= gate - slack, (edge, began - gate)


def lateness(graph: Graph, when: dict[int, dict[ResourceState, float]]) -> list[float]:
    """Seconds between the last gate of each waiting resource and its beginning."""
    gates: dict[int, float] = {}
    for edge in graph.edges:
        gate = when[edge.target][edge.milestone] + edge.offset
        gates[edge.waiter] = max(gates.get(edge.waiter, 0.0), gate)
    return [when[guid][ResourceState.STARTED] - gate for guid, gate in gates.items()]


def summary(late: list[float]) -> str:
    """Median, 95th percentile and maximum, in milliseconds."""
    ordered = sorted(late)
    p95 = ordered[int(len(ordered) * 0.95)]
    middle = statistics.median(ordered)
    return f"median {middle * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms, max {ordered[-1] * 1e3:.1f} ms"
