"""What a deployment would do: its hooks are rehearsed against hosts that only take notes.

No machine is touched. Commands that look at a machine get no answer, so that what a hook does
with one is not in the plan.
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
from ...testing.fakes import Call, FakeHost
from ..words import duration, some

#: What stands for the id of a run that does not exist yet.
RUN = "RUN"
_ACTIONS = (Action.DEPLOY, Action.START, Action.STOP, Action.RELEASE)

# What hooks log is about a machine that was not there.
_log = logging.getLogger("nepiq.rehearsal")
_log.addHandler(logging.NullHandler())
_log.propagate = False


@dataclass(frozen=True)
class PlannedStep:
    """One step of one resource.

    Attributes:
        action: ``deploy``, ``start``, ``stop`` or ``release``.
        when: the conditions that it waits for, in words.
        calls: what is asked of the host, in order.
        open: why more may follow that is not known here; may be empty.
    """

    action: str
    when: list[str]
    calls: list[Call]
    open: str = ""


@dataclass(frozen=True)
class PlannedResource:
    """One resource.

    Attributes:
        guid: its number.
        label: its name.
        rtype: its type.
        where: the machine and who reaches it, or the label of the host; may be empty.
        is_host: others may act on it.
        host: guid of the host that it acts on; its own for a host, None if there is none.
        steps: its steps; those that have nothing to do and wait for nothing are left out.
    """

    guid: int
    label: str
    rtype: str
    where: str
    is_host: bool
    host: int | None
    steps: list[PlannedStep]


@dataclass(frozen=True)
class PlannedDeployment:
    """What one ``deploy()`` would do.

    Attributes:
        exp_id: name of the experiment.
        together: nothing starts before all are READY.
        resources: the resources, those of a host right after it.
    """

    exp_id: str
    together: bool
    resources: list[PlannedResource]


class Planner:
    """Plans the deployments of one experiment, one after the other.

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
            guids: which resources; all that were not planned before by default.
            together: nothing starts before all are READY.

        Raises:
            InvalidValue: something required is missing.
            ConditionCycle: conditions wait for each other.
        """
        scratch = Description(self._description.exp_id)
        scratch.adopt(self._description)
        for guid, attributes in self._reported.items():
            scratch.note(guid, attributes)
        chosen = [
            guid
            for guid in (scratch if guids is None else guids)
            if guid not in self._planned and guid in scratch
        ]
        scratch.check(chosen, {"of this deploy": chosen} if together else {})
        made = {guid: self._resource(scratch, guid) for guid in _in_order(scratch, chosen)}
        self._planned.update(chosen)
        ordered = [made[guid] for guid in _by_host(scratch, chosen)]
        return PlannedDeployment(scratch.exp_id, together, ordered)

    def _resource(self, scratch: Description, guid: int) -> PlannedResource:
        item, host = scratch.resource(guid), scratch.host_of(guid)
        rm = scratch.instance(guid, RUN)
        waits = {action: [c for c in item.conds if c.action is action] for action in _ACTIONS}
        steps = []
        for action in _ACTIONS:
            if action is Action.STOP and not waits[action]:
                continue  # Nothing stops it but the release, which ends what runs.
            calls, left = self._rehearse(scratch, guid, host, action)
            when = list(_in_words(scratch, waits[action]))
            if calls or left or when:
                steps.append(PlannedStep(action.value, when, calls, left))
        if item.cls.provides_host:
            where = _place(rm)
        else:
            where = "" if host is None else scratch.label(host)
        return PlannedResource(
            guid, item.label, item.cls.rtype, where, item.cls.provides_host, host, steps
        )

    def _rehearse(
        self, scratch: Description, guid: int, host: int | None, action: Action
    ) -> tuple[list[Call], str]:
        """Call the hooks of an action once; what they asked, and why there may be more."""
        rm, fake = scratch.instance(guid, RUN), FakeHost()
        if host is not None:
            home = scratch.resource(host).attrs.get("home") or "~"
            fake.run_dir = f"{home.rstrip('/')}/.nepiq/{RUN}/{host}/{guid}/1"
        deadline = Deadline.after(rm.deadline_for(action), clock=fake.clock)
        context = Context(fake if host is not None else NO_HOST, rm.peers, 1, deadline, _log)
        left = ""
        try:
            outcome = perform(rm, action, context)
        except FencedError as error:
            left = str(error)
        else:
            if outcome.error is not None:
                left = f"{outcome.hook} wants an answer: {outcome.error}"
            elif outcome.later is not None:
                left = f"{outcome.hook} comes back after {duration(outcome.later)}"
        changes = rm.changes()
        scratch.note(guid, changes)
        self._reported.setdefault(guid, {}).update(changes)
        return fake.calls, left


def _in_order(scratch: Description, chosen: Iterable[int]) -> Iterator[int]:
    """Each resource after those whose deployment its own waits for."""
    wanted, seen = set(chosen), set()

    def visit(guid: int) -> Iterator[int]:
        if guid in seen:
            return
        seen.add(guid)
        for peer in scratch.resource(guid).awaited():
            yield from visit(peer)
        if guid in wanted:
            yield guid

    for guid in sorted(wanted):
        yield from visit(guid)


def _by_host(scratch: Description, chosen: Sequence[int]) -> list[int]:
    """Each host, then what acts on it; last what acts on none."""

    def key(guid: int) -> tuple[float, bool, int]:
        host = scratch.host_of(guid)
        return float("inf") if host is None else host, guid != host, guid

    return sorted(chosen, key=key)


def _place(rm: ResourceManager) -> str:
    """A machine and who reaches it."""
    place = rm.placement()
    if place.local:
        return f"localhost, the worker machine of site {place.site}"
    hops: list[Login] = [rm.login()]
    while (before := hops[-1].gateway) is not None:
        hops.append(before)
    way = " via ".join(str(hop) for hop in hops)
    return f"{way}, by the workers of site {place.site}"


def _in_words(scratch: Description, conditions: Iterable[Condition]) -> Iterator[str]:
    together: dict[tuple[str, float], list[str]] = {}
    for condition in conditions:
        key = (condition.milestone.name, condition.offset)
        together.setdefault(key, []).append(scratch.label(condition.target))
    for (milestone, offset), labels in together.items():
        later = f" + {duration(offset)}" if offset else ""
        yield f"{some(labels, 6)} {milestone}{later}"
