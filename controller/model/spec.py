"""The upload of a resource: what a description hands to the engine, and the engine keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Gate(NamedTuple):
    """Something that a step of a resource waits for.

    Attributes:
        action: the step that waits: deploy, start or stop.
        target: guid of the resource that must reach the milestone.
        milestone: the state that it must have reached.
        offset: seconds to wait from then on.
        need: True for a strict gate, which fails the waiting resource when the target has FAILED
            or been RELEASED, although its milestones count as reached then.
    """

    action: str
    target: int
    milestone: str
    offset: float = 0.0
    need: bool = False


class ResourceSpec(NamedTuple):
    """A resource as it is uploaded.

    Attributes:
        guid: its id in the run.
        rtype: its type.
        label: its name in the run.
        queue: the Celery queue of its steps.
        critical: its failure ends the experiment.
        batch: its steps do no I/O, so that many can travel in one message.
        idle: the actions whose steps have nothing to do, and so do no I/O either.
        host: guid of the host that its hooks act on (its own if it is a host), or None.
        inside: guid of the emulated host on that host in which they act, or None.
        joint: the actions whose steps can be carried out together with others of its host.
        covered: the release of its host undoes all that its own release would.
        left_to_host: it does so once the resource has ended.
        peers: guids by connection name.
        attributes: values that differ from the default; they must survive JSON.
        gates: what its steps wait for.
        after: guids it lives on; it is released before them.
        is_host: others act on the machine that it manages.
        local: that machine is the one its worker runs on.
        site: the site of that machine.
        limit: how many steps may do I/O on that machine at once; None for any number.
        affinity: the key that chooses the worker which its steps go to first; empty for any worker.
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
    gates: Sequence[Gate] = ()
    after: Sequence[int] = ()
    is_host: bool = False
    local: bool = False
    site: str = ""
    limit: int | None = None
    affinity: str = ""
    inside: int | None = None
    joint: Sequence[str] = ()
    covered: bool = False
    left_to_host: bool = False
