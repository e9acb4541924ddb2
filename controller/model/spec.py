"""The form in which one resource of a description goes into Redis."""

from __future__ import annotations

from typing import Any, TypedDict
from weakref import WeakKeyDictionary

from .lifecycle import Action
from .resource import Placement, ResourceManager
from .roster import Resource

#: The queue of steps that act on no host; every worker serves it.
QUEUE = "nepiq"


class _Common(TypedDict):
    g: int
    rtype: str
    label: str
    attrs: dict[str, Any]
    critical: bool
    batch: bool
    idle: list[str]
    queue: str
    host: int | None
    peers: dict[str, list[int]]
    needs: list[list[Any]]
    after: list[int]
    conds: list[list[Any]]


class Spec(_Common, total=False):
    """One resource as the engine stores it, JSON data.

    Keys: ``g`` guid, ``rtype``, ``label``, ``attrs`` stored values that are not the default,
    ``critical``, ``batch`` True if its steps are done in batches, ``idle`` the actions that its
    class defines no hook for, whose steps are done so too, ``queue`` the Celery queue of its
    steps, ``host`` guid of the host it acts on (a host's own is itself), ``peers`` guids by
    connection name, ``needs`` ``[action, guid, milestone]`` gates from connections, ``after``
    guids released after it, ``conds`` ``[action, guid, milestone, offset]`` conditions; and for
    a host its ``local``, ``site`` and ``limit``.
    """

    local: bool
    site: str
    limit: int


_IDLE: WeakKeyDictionary[type[ResourceManager], list[str]] = WeakKeyDictionary()


def _idle(cls: type[ResourceManager]) -> list[str]:
    """The actions that a class defines no hook for."""
    known = _IDLE.get(cls)
    if known is None:
        known = _IDLE[cls] = [action.value for action in Action if not cls.hooks_for(action)]
    return known


def make_spec(resource: Resource, host: int | None, placement: Placement | None) -> Spec:
    """Describe a resource for the engine.

    Args:
        resource: the resource.
        host: guid of the host it acts on, or None.
        placement: where that host is reached from; None without a host.
    """
    cls = resource.cls
    awaited = resource.awaited()
    spec: Spec = {
        "g": resource.guid,
        "rtype": cls.rtype,
        "label": resource.label,
        "attrs": dict(resource.attrs),
        "critical": resource.attrs.get("critical", cls.attributes["critical"].default),
        "batch": not cls.does_io,
        "idle": _idle(cls),
        "queue": QUEUE if placement is None else queue_of(placement.site),
        "host": host,
        "peers": {name: list(guids) for name, guids in resource.peers.items() if guids},
        "needs": [["deploy", guid, "READY"] for guid in awaited],
        "after": awaited,
        "conds": [
            [action.value, target, milestone.name, offset]
            for _, action, target, milestone, offset in resource.conds
        ],
    }
    if placement is not None and host == resource.guid:
        spec["site"] = placement.site
        spec["local"] = placement.local
        spec["limit"] = placement.limit
    return spec


def queue_of(site: str) -> str:
    """The queue of the steps that act on a site's hosts."""
    return f"{QUEUE}.{site}"
