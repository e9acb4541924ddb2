"""Plans of deployments: hooks run against simulated hosts that record commands.

No machine is contacted. Commands that only read get an empty answer, so actions of a hook that
depend on an answer are not in the plan.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...description.conditions import Condition
from ...description.description import Description
from ...errors import FencedError
from ...model.actions import perform
from ...model.durations import Deadline
from ...model.host import NO_HOST, Context
from ...model.lifecycle import Action
from ...model.login import Login
from ...model.resource import ResourceManager
from ...testing.fake_host import Call, FakeHost
from ..words import duration, some

#: Placeholder for the id of the run.
RUN = "RUN"
_ACTIONS = (Action.DEPLOY, Action.START, Action.STOP, Action.RELEASE)

# Log messages of hooks are dropped: they describe a simulated machine.
_log = logging.getLogger("nepiq.dry_run")
_log.addHandler(logging.NullHandler())
_log.propagate = False


@dataclass(frozen=True)
class PlannedStep:
    """One step of one resource.

    Attributes:
        action: ``deploy``, ``start``, ``stop`` or ``release``.
        when: its conditions as text.
        calls: the calls to the host, in order.
        open: why more calls, which cannot be planned, may follow; may be empty.
    """

    action: str
    when: list[str]
    calls: list[Call]
    open: str = ""


@dataclass(frozen=True)
class PlannedResource:
    """A resource with its planned steps.

    Attributes:
        guid: the guid.
        label: the label.
        rtype: the type.
        where: for a host, its machine and the site of its workers; else the label of its host,
            or empty.
        is_host: True if other resources may act on it.
        host: guid of the host that it acts on; its own guid for a host; None without a host.
        steps: its steps, without those that have neither calls nor conditions.
        outline: what it consists of, a line each; empty for most types.
    """

    guid: int
    label: str
    rtype: str
    where: str
    is_host: bool
    host: int | None
    steps: list[PlannedStep]
    outline: list[str]


@dataclass(frozen=True)
class PlannedDeployment:
    """The plan of one ``deploy()``.

    Attributes:
        exp_id: name of the experiment.
        together: True if no resource starts before all are READY.
        resources: the resources; each host is followed by the resources that act on it.
    """

    exp_id: str
    together: bool
    resources: list[PlannedResource]


class Planner:
    """A planner of successive deployments of one experiment.

    Args:
        description: the experiment.
    """

    def __init__(self, description: Description) -> None:
        self._description = description
        self._planned: set[int] = set()
        self._reported: dict[int, dict[str, Any]] = {}

    def plan(
        self, guids: Sequence[int] | None = None, *, together: bool = True
    ) -> PlannedDeployment:
        """Plan a deployment.

        Args:
            guids: the resources; by default all that are not planned yet.
            together: True if no resource starts before all are READY.

        Raises:
            InvalidValue: a required attribute or connection is missing.
            ConditionCycle: conditions form a cycle.
        """
        scratch = Description(self._description.exp_id)
        scratch.adopt(self._description)
        for guid, attributes in self._reported.items():
            scratch.note(guid, attributes)
        selected = [
            guid
            for guid in (scratch if guids is None else guids)
            if guid not in self._planned and guid in scratch
        ]
        scratch.complete(selected)
        scratch.check(selected, {"of this deploy": selected} if together else {})
        plans = {guid: self._resource(scratch, guid) for guid in _by_dependency(scratch, selected)}
        self._planned.update(selected)
        ordered = [plans[guid] for guid in _by_host(scratch, selected)]
        return PlannedDeployment(scratch.exp_id, together, ordered)

    def _resource(self, scratch: Description, guid: int) -> PlannedResource:
        item, host = scratch.resource(guid), scratch.host_of(guid)
        rm = scratch.instance(guid, RUN)
        conditions = {action: [c for c in item.conds if c.action is action] for action in _ACTIONS}
        steps = []
        for action in _ACTIONS:
            if action is Action.STOP and not conditions[action]:
                continue  # Without a condition, only the release stops it.
            calls, reason = self._simulate(scratch, guid, host, action)
            when = list(_condition_texts(scratch, conditions[action]))
            if calls or reason or when:
                steps.append(PlannedStep(action.value, when, calls, reason))
        if item.cls.provides_host:
            where = _machine(rm)
        else:
            where = "" if host is None else scratch.label(host)
        return PlannedResource(
            guid=guid,
            label=item.label,
            rtype=item.cls.rtype,
            where=where,
            is_host=item.cls.provides_host,
            host=host,
            steps=steps,
            outline=list(rm.outline()),
        )

    def _simulate(
        self, scratch: Description, guid: int, host: int | None, action: Action
    ) -> tuple[list[Call], str]:
        """Call the hooks of an action once; return their calls, and why more may follow."""
        rm, fake = scratch.instance(guid, RUN), FakeHost()
        fake.started = True
        if host is not None:
            home = scratch.resource(host).attrs.get("home") or "~"
            fake.run_dir = f"{home.rstrip('/')}/.nepiq/{RUN}/{host}/{guid}/1"
        deadline = Deadline.after(rm.deadline_for(action), clock=fake.clock)
        context = Context(fake if host is not None else NO_HOST, rm.peers, 1, deadline, _log)
        reason = ""
        try:
            outcome = perform(rm, action, context)
        except FencedError as error:
            reason = str(error)
        else:
            if outcome.error is not None:
                reason = f"{outcome.hook} needs an answer: {outcome.error}"
            elif outcome.later is not None:
                reason = f"{outcome.hook} runs again after {duration(outcome.later)}"
        changes = rm.changes()
        scratch.note(guid, changes)
        self._reported.setdefault(guid, {}).update(changes)
        return fake.calls, reason


def _by_dependency(scratch: Description, guids: Iterable[int]) -> Iterator[int]:
    """Yield each resource after those whose deployment it waits for."""
    selected, seen = set(guids), set()

    def visit(guid: int) -> Iterator[int]:
        if guid in seen:
            return
        seen.add(guid)
        for peer in scratch.awaited(guid):
            yield from visit(peer)
        if guid in selected:
            yield guid

    for guid in sorted(selected):
        yield from visit(guid)


def _by_host(scratch: Description, guids: Sequence[int]) -> list[int]:
    """Sort by host: each host before the resources that act on it, those without a host last."""

    def key(guid: int) -> tuple[float, bool, int]:
        host = scratch.host_of(guid)
        return float("inf") if host is None else host, guid != host, guid

    return sorted(guids, key=key)


def _machine(rm: ResourceManager) -> str:
    """Return the machine of a host, its jump hosts and the site of its workers."""
    placement = rm.placement()
    if placement.local:
        return f"localhost, the worker machine of site {placement.site}"
    if not rm.assigned():
        pool, where = (str(getattr(rm, name, None) or "") for name in ("pool", "where"))
        condition = f" where {where}" if where else ""
        host = f"a host of pool {pool}{condition}" if pool else "a host"
        return f"{host}, chosen when it is deployed, by the workers of site {placement.site}"
    hops: list[Login] = [rm.login()]
    while (gateway := hops[-1].gateway) is not None:
        hops.append(gateway)
    route = " via ".join(str(hop) for hop in hops)
    return f"{route}, by the workers of site {placement.site}"


def _condition_texts(scratch: Description, conditions: Iterable[Condition]) -> Iterator[str]:
    groups: dict[tuple[str, float], list[str]] = {}
    for condition in conditions:
        key = (condition.milestone.name, condition.offset)
        groups.setdefault(key, []).append(scratch.label(condition.target))
    for (milestone, offset), labels in groups.items():
        delay = f" + {duration(offset)}" if offset else ""
        yield f"{some(labels, 6)} {milestone}{delay}"
