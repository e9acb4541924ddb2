"""A run, its resource managers and their steps, as they are read from Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .forms import step_action, step_guid


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
        campaign: the campaign that began it; empty if there is none.
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
    campaign: str


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
        inside: guid of the emulated host in which it acts there, or None.
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
        affinity: what chooses the worker that steps on its machine go to first; empty for any.
        by: the nonce of the client that uploaded it.
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
    affinity: str = ""
    by: str = ""
    inside: int | None = None


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
