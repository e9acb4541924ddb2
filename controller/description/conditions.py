"""Conditions of steps, and the detection of cycles among them.

A condition makes a step wait for a milestone of a resource. Other gates follow from the
description: a deployment waits until connected resources are READY, a start for the resource's
own READY and for its group's barrier, a stop for its own STARTED. All gates of a step must
open, so a cycle of them never opens.

A resource may end by itself or by a stop step; therefore a wait for STOPPED or FINISHED counts
as a wait for the start only. So two resources whose stops wait for each other's end are not a
cycle (the first end lets the other one be stopped). But a stop that waits, directly or not, for
the end of the same resource is one, because after that end there is nothing left to stop. Waits
for FAILED and RELEASED are never part of a cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from ..errors import ConditionCycle
from ..model.lifecycle import IMPLIES, Action, State


class Condition(NamedTuple):
    """A condition: a step waits for a milestone of a resource.

    Attributes:
        guid: the resource whose step waits.
        action: DEPLOY, START or STOP.
        target: the resource to wait for; may be the same.
        milestone: the milestone that it must have reached.
        offset: seconds that must have passed since.
    """

    guid: int
    action: Action
    target: int
    milestone: State
    offset: float = 0.0


# Nodes of the graph are numbers: four for each resource (its three steps and its end), and a
# negative one for each barrier.
_DEPLOY, _START, _STOP, _END = range(4)
_STEP = {Action.DEPLOY: _DEPLOY, Action.START: _START, Action.STOP: _STOP}
_REACHED_BY = {
    State.DISCOVERED: _DEPLOY,
    State.RESERVED: _DEPLOY,
    State.PROVISIONED: _DEPLOY,
    State.READY: _DEPLOY,
    State.STARTED: _START,
    State.STOPPED: _END,
    State.FINISHED: _END,
}
_STEP_NAMES = {_DEPLOY: Action.DEPLOY, _START: Action.START, _STOP: Action.STOP}


class Gates(NamedTuple):
    """The gates of the steps of an experiment.

    Attributes:
        conditions: the conditions.
        needs: dependencies: pairs of a resource and one whose READY its deployment waits for.
        groups: members of each group whose barrier is still closed, by the group's name.
        states: states of resources, if the experiment runs; missing ones count as NEW.
    """

    conditions: Collection[Condition] = ()
    needs: Collection[tuple[int, int]] = ()
    groups: Mapping[str, Collection[int]] = {}
    states: Mapping[int, State] = {}


def check_cycles(gates: Gates, label: Callable[[int], str] = str) -> None:
    """Raise an error for gates that can never open because they wait for each other.

    Args:
        gates: the gates.
        label: function that returns the name of a resource for the error.

    Raises:
        ConditionCycle: the message has the cycle: ``a.start waits for b STARTED, b.start waits
            for a STARTED``.
    """
    waiters = _graph(gates, stops_end=True)
    stuck_nodes = _never_open(waiters)
    if not stuck_nodes:
        return
    # Not all of these are in a cycle, because an end was assumed to need the stop step.
    waits = _inverse(_graph(gates, stops_end=False), stuck_nodes)
    cycle = _find_cycle(waits) or _find_vain_stop(waits)
    if cycle:
        raise ConditionCycle(
            "these wait for each other: " + ", ".join(_describe(cycle, gates, label)),
            hint="remove one of these conditions, or wait for another state",
        )


def _graph(gates: Gates, *, stops_end: bool) -> dict[int, list[int]]:
    """Return for each node the nodes that wait for it.

    Args:
        gates: the gates.
        stops_end: let the end of a resource with a STOP condition wait for its stop step.
    """
    conditions, needs, groups, states = gates
    waiters: dict[int, list[int]] = {}
    guids: set[int] = set()
    stop_guids: set[int] = set()
    for guid, action, target, milestone, _ in conditions:
        guids.add(guid)
        if action is Action.STOP:
            stop_guids.add(guid)
        kind = _REACHED_BY.get(milestone)
        if kind is None or (states and milestone in IMPLIES[states.get(target, State.NEW)]):
            continue
        guids.add(target)
        waiters.setdefault(4 * target + kind, []).append(4 * guid + _STEP[action])
    for guid, peer in needs:
        waiters.setdefault(4 * peer, []).append(4 * guid)
    for number, members in enumerate(groups.values(), 1):
        for guid in members:
            waiters.setdefault(4 * guid, []).append(-number)
        waiters[-number] = [4 * guid + _START for guid in members]
    for guid in guids:
        start = 4 * guid + _START
        waiters.setdefault(4 * guid, []).append(start)
        waiters.setdefault(start, []).extend((4 * guid + _STOP, 4 * guid + _END))
    if stops_end:
        for guid in stop_guids:
            waiters.setdefault(4 * guid + _STOP, []).append(4 * guid + _END)
    return waiters


def _never_open(waiters: Mapping[int, list[int]]) -> set[int]:
    """Return the nodes that wait for themselves, directly or not, or for such a node."""
    closed_gates: dict[int, int] = {}  # number by node
    for nodes in waiters.values():
        for node in nodes:
            closed_gates[node] = closed_gates.get(node, 0) + 1
    ready = [node for node in waiters if node not in closed_gates]
    while ready:
        for node in waiters.get(ready.pop(), ()):
            closed_gates[node] -= 1
            if not closed_gates[node]:
                del closed_gates[node]
                ready.append(node)
    return set(closed_gates)


def _inverse(waiters: Mapping[int, list[int]], nodes: set[int]) -> dict[int, list[int]]:
    """Return for each of ``nodes`` those of them that it waits for."""
    waits: dict[int, list[int]] = {node: [] for node in nodes}
    for node, others in waiters.items():
        if node in nodes:
            for other in others:
                if other in nodes:
                    waits[other].append(node)
    return waits


def _find_cycle(waits: Mapping[int, list[int]]) -> list[int]:
    """Return nodes each of which waits for the next, and the last for the first, or none."""
    done: set[int] = set()
    for root in sorted(waits):
        path: list[int] = []
        index: dict[int, int] = {}
        trail = [iter((root,))]
        while trail:
            node = next(trail[-1], None)
            if node is None:
                trail.pop()
                if path:
                    last = path.pop()
                    done.add(last)
                    del index[last]
            elif node in index:
                return path[index[node] :]
            elif node not in done:
                index[node] = len(path)
                path.append(node)
                trail.append(iter(waits[node]))
    return []


def _find_vain_stop(waits: Mapping[int, list[int]]) -> list[int]:
    """Return a path from a stop step to the end of its own resource, or none."""
    for stop in sorted(node for node in waits if node > 0 and node % 4 == _STOP):
        end = stop - _STOP + _END
        before: dict[int, int] = {stop: stop}
        queue = [stop]
        for node in queue:
            for other in waits[node]:
                if other not in before:
                    before[other] = node
                    queue.append(other)
        if end in before:
            path = [end]
            while path[-1] != stop:
                path.append(before[path[-1]])
            return path[::-1]
    return []


def _describe(cycle: list[int], gates: Gates, label: Callable[[int], str]) -> Iterable[str]:
    """Yield each wait of a cycle as text."""
    reasons = {
        (4 * c.guid + _STEP[c.action], 4 * c.target + _REACHED_BY[c.milestone]): c
        for c in reversed(list(gates.conditions))
        if c.milestone in _REACHED_BY
    }
    groups = list(gates.groups)
    first = next((i for i, node in enumerate(cycle) if node > 0 and node % 4 != _END), 0)
    rotated = [*cycle[first:], *cycle[: first + 1]]
    for node, after in pairwise(rotated):
        if node > 0 and node % 4 == _END:
            continue  # "waits for b STOPPED" implies that b must have started
        reason = reasons.get((node, after))
        if reason is not None:
            goal = f"{label(reason.target)} {reason.milestone}"
        elif after < 0:
            goal = f"group {groups[-after - 1]}"
        else:
            goal = f"{label(after // 4)} {_milestone(after % 4)}"
        waiter = f"group {groups[-node - 1]}" if node < 0 else _step(node, label)
        yield f"{waiter} waits for {goal}"


def _step(node: int, label: Callable[[int], str]) -> str:
    return f"{label(node // 4)}.{_STEP_NAMES[node % 4]}"


def _milestone(kind: int) -> State:
    return State.READY if kind == _DEPLOY else State.STARTED
