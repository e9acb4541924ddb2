"""What workers and scripts of the store tell each other: steps that are due, claims, outcomes.

What is made by the thousand at a time is a named tuple, the rest are frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .forms import step_action, step_guid


class DueStep(NamedTuple):
    """A step to submit.

    Attributes:
        step: its id.
        delay: seconds until it is due, counted from the reply.
        queue: where its message goes; ``queue@KEY`` if its host has an affinity.
        batch: it does no I/O and may share a message with others.
        label: its resource manager's label.
        attempt: which attempt its next claim would be.
        joint: it goes together with others that act on its host.
    """

    step: str
    delay: float
    queue: str
    batch: bool
    label: str
    attempt: int = 1
    joint: bool = False


class ExitReport(NamedTuple):
    """The end of a supervised process, or its restart by its host.

    Attributes:
        guid: the resource manager.
        occ: the occasion in which the process was started.
        outcome: FINISHED, STOPPED or FAILED; or RESTARTED, with the number of the restart as
            ``restarts`` in ``info``.
        age: seconds since it ended.
        info: the error of a failure, else the exit code.
        attrs: attributes to keep.
        outputs: small outputs by trace name.
    """

    guid: int
    occ: int
    outcome: str
    age: float = 0.0
    info: Mapping[str, Any] | None = None
    attrs: Mapping[str, Any] | None = None
    outputs: Mapping[str, bytes] | None = None


class Reply(NamedTuple):
    """The answer of a script that can make steps due.

    Attributes:
        status: ``OK`` or a refusal: GONE STALE TOOLATE CLASH CLOSED UNKNOWN ILLEGAL.
        detail: what the script says beyond that: a group, a step, a phase, a guid.
        more: work is left: submit, then call ``go_on`` until this is False.
        ended: the whole run is RELEASED.
        due: the steps to submit.
        campaign: the campaign whose step is to be dispatched, since its run has ended; or empty.
    """

    status: str
    detail: str = ""
    more: bool = False
    ended: bool = False
    due: Sequence[DueStep] = ()
    campaign: str = ""

    @property
    def ok(self) -> bool:
        """It was done, now or by an earlier execution of the same call."""
        return self.status == "OK"


class Claim(NamedTuple):
    """A claimed step, with what is needed to run it.

    Attributes:
        step: its id.
        token: the attempt's number, which its commit must show.
        tries: how often it has been claimed.
        retried: how often its hook asked to be retried.
        began: when it was first claimed, seconds since the epoch.
        due: when it was due.
        rtype: type of its resource manager.
        label: label of its resource manager.
        occ: the present occasion.
        state: the resource manager's state.
        host: guid of the host that it acts on.
        inside: guid of the emulated host in which it acts there, or None.
        covered: it is a release that has nothing to do, since that of the host undoes all.
        args: arguments of a requested step.
        peers: guids by connection name.
        attributes: attributes that differ from the default.
    """

    step: str
    token: int
    tries: int
    retried: int
    began: float
    due: float
    rtype: str
    label: str
    occ: int
    state: str
    host: int | None
    inside: int | None
    covered: bool
    args: list[Any]
    peers: dict[str, list[int]]
    attributes: dict[str, Any]

    @property
    def guid(self) -> int:
        """The resource manager."""
        return step_guid(self.step)

    @property
    def action(self) -> str:
        """The action: deploy, start, stop, set, release or finish."""
        return step_action(self.step)

    @property
    def late(self) -> float:
        """Seconds between the moment it was due and its claim, by Redis' clock.

        A token is the time of its claim, in microseconds.
        """
        return max(0.0, self.token / 1e6 - self.due)


class NotDue(NamedTuple):
    """A step that was claimed too early.

    Attributes:
        step: its id.
        seconds: how long it still has.
    """

    step: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the attempt of a step ended.

    Attributes:
        step: its id.
        token: the token of its claim.
        kind: ``ok``, ``failed``, ``cancelled``, or, for a start whose process has ended
            already, ``FINISHED``, ``STOPPED`` or ``FAILED``; or ``lasts``, for one without a
            process that is FINISHED after a time.
        age: seconds since it took effect (for a start: since the process ran).
        attrs: attributes that the hook assigned.
        info: JSON-able detail: the error of a failure, the exit code of an exit.
        outputs: small outputs by trace name.
        end_age: seconds since the process ended, if ``kind`` is the outcome of a start; if it is
            ``lasts``, seconds from its start to its end.
    """

    step: str
    token: int
    kind: str
    age: float = 0.0
    attrs: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] | None = None
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    end_age: float = 0.0


@dataclass(frozen=True, slots=True)
class WatchGrant:
    """The answer to a worker that wants to follow a node's journal.

    Attributes:
        status: ``OK``, ``TAKEN`` by another worker, ``NONE`` to watch there, or ``GONE``.
        journal: id of the journal that was followed last, empty if none.
        offset: where to go on in it, in bytes.
    """

    status: str
    journal: str = ""
    offset: int = 0
