"""A run, its resource managers, their steps and conditions, as they are stored.

What is made by the thousand at a time is a named tuple, the rest are frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from .forms import seconds, step_action, step_guid

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Condition(NamedTuple):
    """Something that a step waits for.

    Attributes:
        action: which step of the resource manager waits: deploy, start or stop.
        target: guid of the resource manager that must reach the milestone.
        milestone: the state that it must have reached.
        offset: seconds to wait from then on.
        need: True for a strict one, which fails the waiting resource manager when the target
            has FAILED or been RELEASED, although its milestones count as reached then.
    """

    action: str
    target: int
    milestone: str
    offset: float = 0.0
    need: bool = False

    def encode(self) -> str:
        """The form in which it is stored: ``start|3|READY|0.5|c``."""
        kind = "n" if self.need else "c"
        return f"{self.action}|{self.target}|{self.milestone}|{seconds(self.offset)}|{kind}"

    @classmethod
    def decode(cls, text: str) -> Condition:
        """The opposite of :meth:`encode`."""
        action, target, milestone, offset, kind = text.split("|")
        return cls(action, int(target), milestone, float(offset), kind == "n")


class ResourceSpec(NamedTuple):
    """A resource manager as it is uploaded.

    Attributes:
        guid: its id in the run.
        rtype: its type.
        label: its name in the run.
        queue: the queue that its steps go to.
        critical: its failure ends the experiment.
        batch: its steps do no I/O, so that many can travel in one message.
        idle: the actions whose steps have nothing to do, and so do no I/O either.
        host: guid of the host that its hooks act on (its own if it is a host), or None.
        peers: guids by connection name.
        attributes: values that differ from the default; they must survive JSON.
        conditions: what its steps wait for, conditions and needs.
        after: guids it lives on; it is released before them.
        is_host: others act on the machine that it manages.
        local: that machine is the one its worker runs on.
        site: the site of that machine.
        limit: how many steps may do I/O on that machine at once; None for any number.
        home: what chooses the worker that its steps go to first; empty for any.
    """

    guid: int
    rtype: str
    label: str
    queue: str = "nepiq"
    critical: bool = True
    batch: bool = False
    idle: Sequence[str] = ()
    host: int | None = None
    peers: Mapping[str, Sequence[int]] = _EMPTY
    attributes: Mapping[str, Any] = _EMPTY
    conditions: Sequence[Condition] = ()
    after: Sequence[int] = ()
    is_host: bool = False
    local: bool = False
    site: str = ""
    limit: int | None = None
    home: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """States at one point of the event stream.

    Attributes:
        last_id: read the stream from here on.
        phase: RUNNING, FAILED, RELEASING, RELEASED, or GONE if there is no such run.
        cause: the failure that ended RUNNING (keys guid, label, error), or None.
        states: state by guid; unknown guids are missing.
    """

    last_id: str
    phase: str
    cause: dict[str, Any] | None
    states: dict[int, str]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run.

    Attributes:
        phase: RUNNING, FAILED, RELEASING, RELEASED or EXPIRED.
        exp_id: the user's name for the experiment.
        created: when, seconds since the epoch.
        last: the latest time that was given out.
        seen: the last sign of a client.
        release_after: seconds without a client after which it is released; None for never.
        live: how many resource managers are not RELEASED.
        cause: the failure that ended RUNNING (keys guid, label, error), or None.
        bindings: worker machine of each site's local nodes.
    """

    phase: str
    exp_id: str
    created: float
    last: float
    seen: float
    release_after: float | None
    live: int
    cause: dict[str, Any] | None
    bindings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """A resource manager.

    Attributes:
        guid: its id in the run.
        rtype: its type.
        label: its name in the run.
        state: the state it is in.
        milestones: when it reached which state.
        occ: the present occasion.
        token: token of the latest claim of any of its steps.
        running: the step that is claimed, empty if none is.
        critical: its failure ends the experiment.
        batch: its steps do no I/O.
        queue: the queue of its steps, unless its host is bound to a machine.
        host: guid of its host.
        peers: guids by connection name.
        attributes: attributes that differ from the default.
        error: why it FAILED.
        group: the group that it was deployed into.
        held: its group's barrier still waits for it.
        is_host: others act on the machine that it manages.
        local: that machine is the one its worker runs on.
        site: the site of that machine.
        limit: how many steps may do I/O there at once.
        gone: why its machine counts as gone.
        silent: since when its machine does not answer, seconds since the epoch.
        home: what chooses the worker that steps on its machine go to first; empty for any.
    """

    guid: int
    rtype: str
    label: str
    state: str
    milestones: Mapping[str, float]
    occ: int
    token: int
    running: str
    critical: bool
    batch: bool
    queue: str
    host: int | None
    peers: Mapping[str, Sequence[int]]
    attributes: Mapping[str, Any]
    error: dict[str, Any] | None
    group: int | None
    held: bool
    is_host: bool
    local: bool
    site: str
    limit: int | None
    gone: dict[str, Any] | None
    silent: float | None = None
    home: str = ""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step.

    Attributes:
        step: its id.
        status: waiting, due, claimed, done or void.
        left: how many gates are closed.
        due: when it is due as far as known, seconds since the epoch; None once it has ended.
        token: token of the latest claim.
        worker: who has claimed it.
        began: when it was first claimed.
        tries: how often it was claimed.
        lost: how often its worker was lost.
        retried: how often its hook asked to be retried.
        sent: how often it was handed out since it became due.
        cancel: its worker was asked to stop.
        args: arguments of a requested step.
        why: why it became void.
        error: what went wrong in it.
    """

    step: str
    status: str
    left: int
    due: float | None
    token: int
    worker: str
    began: float | None
    tries: int
    lost: int
    retried: int
    sent: int
    cancel: bool
    args: list[Any]
    why: str
    error: dict[str, Any] | None

    @property
    def guid(self) -> int:
        """The resource manager."""
        return step_guid(self.step)

    @property
    def action(self) -> str:
        """The action: deploy, start, stop, set or release."""
        return step_action(self.step)

    @property
    def ended(self) -> bool:
        """It is done or void."""
        return self.status in {"done", "void"}
