"""The hosts of the runs of a campaign: requested before a run begins, known when it has ended."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ..model import AssignedHost, Pools, Want
from .causes import Blame, Cause
from .compiled import Base
from .row import FINISHED

_Attributes = Mapping[int, Mapping[str, Any]]


def requested(base: Base, pools: Pools, avoid: Collection[str]) -> tuple[int, Sequence[Want]]:
    """Return on behalf of which resource of a run hosts are requested, and which.

    Args:
        base: the description of the run.
        pools: the pools.
        avoid: keys of hosts that it does without if there are enough others.

    Returns:
        Its guid, and the hosts; 0 and none for a run that needs none.

    Raises:
        NepiqError: the pools have too few hosts.
    """
    requester = base.requester()
    if base.requesting is None or requester is None:
        return 0, ()
    return base.requesting.spec.guid, requester.requested(pools, avoid)


def assigned(base: Base, attributes: _Attributes) -> Mapping[int, AssignedHost]:
    """Return the leased hosts of a run by guid.

    Args:
        base: the description of the run.
        attributes: stored attributes by guid, those of the requester among them.
    """
    part = base.requesting
    stored = None if part is None else attributes.get(part.spec.guid)
    requester = base.requester(stored) if stored else None
    return {} if requester is None else requester.assignments()


def host_names(base: Base, attributes: _Attributes) -> dict[str, str]:
    """Return the names of the hosts of a run by label, without those that it did not find.

    Args:
        base: the description of the run.
        attributes: as for :func:`assigned`, and those of its hosts.
    """
    leased = assigned(base, attributes)
    named = {
        label: leased[guid].name
        if guid in leased
        else name or str(attributes.get(guid, {}).get("hostname", ""))
        for label, (guid, name) in base.hosts.items()
    }
    return {label: name for label, name in named.items() if name}


def blamed(base: Base, attributes: _Attributes, cause: Cause) -> list[str]:
    """Return the keys of the leased hosts of a run that its failure is attributed to.

    Args:
        base: the description of the run.
        attributes: as for :func:`assigned`.
        cause: the failure.
    """
    if cause.blame is not Blame.HOST:
        return []
    own = _host_of(base, attributes, cause)
    return [own] if own else [host.host for host in assigned(base, attributes).values()]


class HostResult(NamedTuple):
    """What a run says of a host.

    Attributes:
        host: key of the host.
        point: id of the point.
        outcome: of the run.
        blame: the part that its failure is attributed to; None if it has not failed.
    """

    host: str
    point: str
    outcome: str
    blame: Blame | None


def host_results(
    base: Base, attributes: _Attributes, point: str, outcome: str, cause: Cause | None
) -> list[HostResult]:
    """Return what a run says of its leased hosts: a failure only of that of what failed.

    Args:
        base: the description of the run.
        attributes: as for :func:`assigned`.
        point: id of its point.
        outcome: its outcome.
        cause: why it failed, if that is known.
    """
    if outcome == FINISHED:
        leased = assigned(base, attributes).values()
        return [HostResult(host.host, point, outcome, None) for host in leased]
    own = _host_of(base, attributes, cause) if cause is not None else ""
    return [HostResult(own, point, outcome, cause.blame)] if cause is not None and own else []


def _host_of(base: Base, attributes: _Attributes, cause: Cause) -> str:
    """Return the key of the leased host of the resource that failed; empty if there is none."""
    guid = None if cause.guid is None else base.description.host_of(cause.guid)
    leased = None if guid is None else assigned(base, attributes).get(guid)
    return "" if leased is None else leased.host
