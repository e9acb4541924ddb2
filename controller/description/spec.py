"""Specs: the resources of a description in the form in which they are uploaded."""

from __future__ import annotations

from collections.abc import Container, Sequence
from weakref import WeakKeyDictionary

from ..model.lifecycle import Action
from ..model.resource import Placement, ResourceManager
from ..model.spec import Gate, ResourceSpec
from .acting import Acting
from .resource import Resource

#: The queue of steps that act on no host; every worker serves it.
QUEUE = "nepiq"


# Those that are asked for by themselves are rare, so that nobody need know beforehand; the last one
# has never anything to do.
_RARE = (Action.DISCOVER, Action.PROVISION, Action.FINISH)
_USUAL = [action for action in Action if action not in _RARE]

_Given = frozenset[str] | None
_IDLE: WeakKeyDictionary[type[ResourceManager], dict[_Given, list[str]]] = WeakKeyDictionary()


def _idle(cls: type[ResourceManager], given: Container[str] | None) -> list[str]:
    """The actions that a class has no hook for, or none with work for what was given."""
    known = _IDLE.setdefault(cls, {})
    key = None if given is None else frozenset(name for name in cls.narrowing if name in given)
    if key not in known:
        known[key] = [action.value for action in _USUAL if not cls.hooks_for(action, key)]
    return known[key]


_JOINT: WeakKeyDictionary[type[ResourceManager], dict[_Given, tuple[str, ...]]] = (
    WeakKeyDictionary()
)


def _joint(cls: type[ResourceManager], given: Container[str]) -> tuple[str, ...]:
    """Return the actions whose steps can be carried out together with others of the host."""
    known = _JOINT.setdefault(cls, {})
    key = frozenset(name for name in cls.narrowing if name in given)
    if key not in known:
        known[key] = tuple(action.value for action in _USUAL if cls.is_joint(action, key))
    return known[key]


def make_spec(
    resource: Resource,
    where: Acting,
    placement: Placement | None,
    *,
    settled: bool = True,
    site: str = "",
    leader: int | None = None,
    also: Sequence[int] = (),
    left_to_host: bool = False,
) -> ResourceSpec:
    """Return a resource as the engine stores it.

    Args:
        resource: the resource.
        where: where it acts.
        placement: where that host is reached from; None without a host.
        settled: False if it is not deployed yet, so that attributes may still be given for
            which a hook will have work.
        site: the site whose workers carry out its steps if it acts on no host; empty for any.
        leader: guid of the resource that does the shared work of their host for it; its own if it
            does that itself, None if there is none.
        also: guids of resources that must be READY first, beside those it is connected to.
        left_to_host: True if the release of its host does all that its own would, once it has
            ended.
    """
    cls = resource.cls
    attributes, gates = dict(resource.attrs), resource.gates()
    if leader == resource.guid or (cls.leading and not settled):
        attributes[cls.leading] = True
    elif leader is not None:
        gates.append(Gate("deploy", leader, "READY"))
    awaited = resource.awaited()
    needs = [Gate("deploy", guid, "READY", need=True) for guid in [*awaited, *also]]
    needs += [Gate("start", guid, "STARTED", need=True) for guid in resource.followed()]
    spec = ResourceSpec(
        resource.guid,
        cls.rtype,
        resource.label,
        queue=queue_of(site if placement is None else placement.site),
        critical=resource.attrs.get("critical", cls.attributes["critical"].default),
        batch=not cls.does_io,
        idle=_idle(cls, attributes if settled else None),
        host=where.host,
        inside=where.inside,
        joint=_joint(cls, attributes) if settled and where.host is not None else (),
        covered=cls.covered,
        left_to_host=left_to_host and settled,
        peers={name: list(guids) for name, guids in resource.peers.items() if guids},
        attributes=attributes,
        gates=needs + gates,
        after=awaited,
    )
    if placement is None or where.host != resource.guid:
        return spec
    return spec._replace(is_host=True, **placement._asdict())


def queue_of(site: str) -> str:
    """The queue of the steps that act on a site's hosts; that of all workers for no site."""
    return f"{QUEUE}.{site}" if site else QUEUE
