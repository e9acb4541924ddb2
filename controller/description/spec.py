"""The form in which one resource of a description goes into Redis."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, TypedDict
from weakref import WeakKeyDictionary

from ..model.lifecycle import Action
from ..model.resource import Placement, ResourceManager
from .resource import Resource

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
    ``critical``, ``batch`` True if its steps are done in batches, ``idle`` the actions that
    have no hook with work for it, whose steps are done so too, ``queue`` the Celery queue of its
    steps, ``host`` guid of the host it acts on (a host's own is itself), ``peers`` guids by
    connection name, ``needs`` ``[action, guid, milestone]`` gates from connections, ``after``
    guids released after it, ``conds`` ``[action, guid, milestone, offset]`` conditions; and for
    a host its ``local``, ``site`` and ``limit``, and ``home``, what chooses its worker.
    """

    local: bool
    site: str
    limit: int
    home: str


# Those that are asked for by themselves are rare, so that nobody need know beforehand.
_USUAL = [action for action in Action if action not in (Action.DISCOVER, Action.PROVISION)]

_Given = frozenset[str] | None
_IDLE: WeakKeyDictionary[type[ResourceManager], dict[_Given, list[str]]] = WeakKeyDictionary()


def _idle(cls: type[ResourceManager], given: Container[str] | None) -> list[str]:
    """The actions that a class has no hook for, or none with work for what was given."""
    known = _IDLE.setdefault(cls, {})
    key = None if given is None else frozenset(name for name in cls.narrowing if name in given)
    if key not in known:
        known[key] = [action.value for action in _USUAL if not cls.hooks_for(action, key)]
    return known[key]


def make_spec(
    resource: Resource, host: int | None, placement: Placement | None, *, settled: bool = True
) -> Spec:
    """Describe a resource for the engine.

    Args:
        resource: the resource.
        host: guid of the host it acts on, or None.
        placement: where that host is reached from; None without a host.
        settled: False if it is not deployed yet, so that attributes may still be given for
            which a hook will have work.
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
        "idle": _idle(cls, resource.attrs if settled else None),
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
        if placement.home:
            spec["home"] = placement.home
    return spec


def queue_of(site: str) -> str:
    """The queue of the steps that act on a site's hosts."""
    return f"{QUEUE}.{site}"
