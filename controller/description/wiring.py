"""Connection of resources: choice of the connections that accept a peer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import NotAllowed
from ..errors.text import quoted
from ..model import registry
from ..model.connections import ANY
from ..model.resource import ResourceManager
from .resource import Resource


def wire(one: Resource, two: Resource, name: str | None = None) -> None:
    """Connect two resources, on each side that declares a connection for the other.

    If both sides would wait for each other, only ``one`` is connected to ``two``, because
    otherwise neither could be deployed. An emulated host takes the place of a host only if neither
    side has a connection for it as what it is. A second call with the same resources changes
    nothing.

    Args:
        one: one resource.
        two: the other resource.
        name: the connection of ``one`` to use; by default the first free one that fits.

    Raises:
        NotAllowed: both are the same, or no connection fits and is free.
    """
    if one is two:
        raise NotAllowed("a resource cannot be connected to itself", where=one.label)
    if one.linked(two) or two.linked(one):
        return
    stands_for = not (fitting_connections(one.cls, two.cls, emulated=False) or name) and not (
        fitting_connections(two.cls, one.cls, emulated=False)
    )
    slot = _free_slot(one, two, name, emulated=stands_for or name is not None)
    back = _back_slot(two, one, slot, emulated=stands_for)
    if slot is None and back is None:
        raise NotAllowed(
            f"{one.label} ({one.cls.rtype}) and {two.label} ({two.cls.rtype}) "
            "have no connection for each other",
            hint=_offers(one.cls, two.cls),
        )
    if slot in one.cls.waiting and back in two.cls.waiting:
        back = None
    if slot is not None:
        one.peers.setdefault(slot, []).append(two.guid)
    if back is not None:
        two.peers.setdefault(back, []).append(one.guid)


#: A resource, the name of its connection, and the peer.
NamedLink = tuple[Resource, str, Resource]


def wire_named(
    links: Iterable[NamedLink], resource: Callable[[int], Resource]
) -> Iterator[tuple[tuple[int, str, int], NotAllowed]]:
    """Connect many resources by named connections, with the result of :func:`wire`.

    Connections named on both sides are made as they are, in this order; one that is named on
    one side only is also made on the other side if that declares a connection for it.

    Args:
        links: all named connections.
        resource: function that returns the resource of a guid.

    Yields:
        Each link that cannot be made, as guid, connection and guid, with the error.
    """
    connected: list[tuple[int, str, int]] = []
    for one, name, two in links:
        key = (one.guid, name, two.guid)
        try:
            _attach(one, name, two)
        except NotAllowed as error:
            yield key, error
        else:
            connected.append(key)
    for key in connected:
        one, name, two = resource(key[0]), key[1], resource(key[2])
        if two.linked(one):
            continue
        waits = name in one.cls.waiting
        try:
            if waits and any(
                back in two.cls.waiting
                for back in fitting_connections(two.cls, one.cls, emulated=False)
            ):
                continue
            back = _back_slot(two, one, name, emulated=False)
        except NotAllowed as error:
            yield key, error
        else:
            if back is not None:
                two.peers.setdefault(back, []).append(one.guid)


def _back_slot(two: Resource, one: Resource, slot: str | None, *, emulated: bool) -> str | None:
    """Return the connection of the other side; None if there is none.

    If both sides accept any type, as a change and the impairment that it changes, only the side
    that is being connected is meant.
    """
    names = fitting_connections(two.cls, one.cls, emulated=emulated)
    accepts_all = slot is not None and one.cls.connections[slot].rtype == ANY
    if accepts_all and all(two.cls.connections[name].rtype == ANY for name in names):
        return None
    return _free_slot(two, one, emulated=emulated)


def _attach(one: Resource, name: str, two: Resource) -> None:
    """Connect one side of two resources."""
    if one is two:
        raise NotAllowed("a resource cannot be connected to itself", where=one.label)
    if two.guid in one.peers.get(name, ()):
        return
    if one.linked(two):
        raise NotAllowed(f"{two.label} is already connected", where=one.label)
    one.peers.setdefault(_free_slot(one, two, name) or name, []).append(two.guid)


def complete(
    items: Sequence[Resource],
    named: Callable[[Any], Resource | None],
    add: Callable[[str], Resource],
) -> list[int]:
    """Make the connections of resources that follow from their attributes.

    Args:
        items: resources that are deployed together.
        named: function that returns the resource of a guid or label, if there is one.
        add: function that adds a resource of a type.

    Returns:
        The resources that act for some of them together.
    """
    joint: dict[str, Resource] = {}
    waiters = _waiters(items)
    for item in items:
        for name in item.cls.implied:
            slot = item.cls.connections[name]
            if slot.beside:
                _connect_beside(item, name, waiters)
            if slot.named_by:
                _connect_named(item, name, named)
            calls = (item.attrs.get(other) or item.peers.get(other) for other in slot.together)
            if slot.together and not item.peers.get(name) and any(calls):
                if slot.rtype not in joint:
                    joint[slot.rtype] = add(slot.rtype)
                wire(item, joint[slot.rtype], name)
    for one in joint.values():
        members = [item for item in items if item.linked(one)]
        if not any(item.attrs.get("critical", True) for item in members):
            one.attrs["critical"] = False
    found = [
        guid
        for item in items
        for name in item.cls.implied
        if item.cls.connections[name].together
        for guid in item.peers.get(name, ())
    ]
    return list(dict.fromkeys(found))


def _waiters(items: Sequence[Resource]) -> dict[int, list[Resource]]:
    """Return which resources wait for each resource, if any type asks for that."""
    waiters: dict[int, list[Resource]] = {}
    if any(item.cls.connections[name].beside for item in items for name in item.cls.implied):
        for item in items:
            for guid in item.awaited():
                waiters.setdefault(guid, []).append(item)
    return waiters


def _connect_beside(item: Resource, name: str, waiters: Mapping[int, Sequence[Resource]]) -> None:
    """Connect a resource to those of a type that wait for a peer of another connection."""
    known = item.peers.get(name, [])
    for guid in item.peers.get(item.cls.connections[name].beside, ()):
        for other in waiters.get(guid, ()):
            fits = other is not item and name in fitting_connections(item.cls, other.cls)
            if fits and other.guid not in known:
                known = item.peers.setdefault(name, known)
                known.append(other.guid)


def _connect_named(item: Resource, name: str, named: Callable[[Any], Resource | None]) -> None:
    """Connect a resource to the one that its attribute names, or name the one it has."""
    attribute = item.cls.connections[name].named_by
    if item.peers.get(name):
        item.attrs.setdefault(attribute, item.peers[name][0])
    elif attribute in item.attrs:
        peer = named(item.attrs[attribute])
        if peer is not None and name in fitting_connections(item.cls, peer.cls):
            wire(item, peer, name)


#: What :func:`fitting_connections` has returned.
_known: dict[tuple[type[ResourceManager], type[ResourceManager], bool], tuple[str, ...]] = {}


def fitting_connections(
    cls: type[ResourceManager], peer: type[ResourceManager], *, emulated: bool = True
) -> tuple[str, ...]:
    """Return the names of the connections of ``cls`` that accept ``peer``, the most exact first.

    A connection accepts the class of its rtype, derived classes, and with ``emulated`` hosts that
    stand for it. Of several, that for exactly the type of the peer is the first, then they come as
    declared.
    """
    key = (cls, peer, emulated)
    if key in _known:
        return _known[key]
    lineage = {vars(base).get("rtype") for base in peer.__mro__}
    if emulated:
        lineage.add(peer.emulates or None)
    names = [
        name
        for name, slot in cls.connections.items()
        if slot.rtype == ANY or registry.canonical(slot.rtype) in lineage
    ]
    if len(names) > 1:
        names.sort(key=lambda name: registry.canonical(cls.connections[name].rtype) != peer.rtype)
    _known[key] = tuple(names)
    return _known[key]


def _free_slot(
    one: Resource, other: Resource, choice: str | None = None, *, emulated: bool = True
) -> str | None:
    """Return the first free connection of ``one`` for ``other``; None if no connection fits."""
    names = fitting_connections(one.cls, other.cls, emulated=emulated)
    if choice is not None:
        if choice not in names:
            raise NotAllowed(
                f"connection {quoted(choice)} does not accept {other.cls.rtype}",
                where=one.label,
                hint=_offers(one.cls),
            )
        names = (choice,)
    for name in names:
        if one.cls.connections[name].many or not one.peers.get(name):
            return name
    if names:
        raise NotAllowed(
            f"connection {quoted(names[0])} already has its only {other.cls.rtype}",
            where=one.label,
            hint="register another resource for the second connection",
        )
    return None


def _offers(*classes: type[ResourceManager]) -> str:
    texts = [
        f"{cls.rtype} can be connected to {'anything' if slot.rtype == ANY else slot.rtype}"
        for cls in dict.fromkeys(classes)
        for slot in cls.connections.values()
    ]
    return "; ".join(texts) or "neither can be connected to anything"
