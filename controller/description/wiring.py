"""How two resources are connected: which connection of one takes the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..errors import NotAllowed
from ..errors.text import quoted
from ..model import registry
from ..model.connections import ANY
from ..model.resource import ResourceManager
from .resource import Resource


def wire(one: Resource, two: Resource, name: str | None = None) -> None:
    """Connect two resources, on each side that declares a connection for the other.

    Where both sides would wait for each other, only ``one`` is connected to ``two``, for else
    neither could ever be deployed. Connecting the same two again changes nothing.

    Args:
        one: one of them.
        two: the other.
        name: the connection of ``one`` to use; the first that fits and is free if None.

    Raises:
        NotAllowed: they are the same, neither has a connection for the other, or it is taken.
    """
    if one is two:
        raise NotAllowed("a resource cannot be connected to itself", where=one.label)
    if one.linked(two) or two.linked(one):
        return
    there, back = _free_slot(one, two, name), _free_slot(two, one)
    if there is None and back is None:
        raise NotAllowed(
            f"{one.label} ({one.cls.rtype}) and {two.label} ({two.cls.rtype}) "
            "have no connection for each other",
            hint=_offers(one.cls, two.cls),
        )
    if there in one.cls.waiting and back in two.cls.waiting:
        back = None
    if there is not None:
        one.peers.setdefault(there, []).append(two.guid)
    if back is not None:
        two.peers.setdefault(back, []).append(one.guid)


#: A resource, its connection, and the peer there.
Written = tuple[Resource, str, Resource]


def wire_as_written(
    links: Iterable[Written], resource: Callable[[int], Resource]
) -> Iterator[tuple[tuple[int, str, int], NotAllowed]]:
    """Connect many resources whose connections are named, as :func:`wire` would have.

    Connections that are named on both sides are taken as they are, in the order given; one that
    is named on one side only is made on the other side where that declares one for it.

    Args:
        links: all connections that are named.
        resource: gives the resource of a guid.

    Yields:
        What cannot be connected: guid, connection and guid, and why.
    """
    made: list[tuple[int, str, int]] = []
    for one, name, two in links:
        key = (one.guid, name, two.guid)
        try:
            _attach(one, name, two)
        except NotAllowed as error:
            yield key, error
        else:
            made.append(key)
    for key in made:
        one, name, two = resource(key[0]), key[1], resource(key[2])
        if two.linked(one):
            continue
        waits = name in one.cls.waiting
        try:
            if waits and any(back in two.cls.waiting for back in fitting(two.cls, one.cls)):
                continue
            back = _free_slot(two, one)
        except NotAllowed as error:
            yield key, error
        else:
            if back is not None:
                two.peers.setdefault(back, []).append(one.guid)


def _attach(one: Resource, name: str, two: Resource) -> None:
    """Connect one side of two resources."""
    if one is two:
        raise NotAllowed("a resource cannot be connected to itself", where=one.label)
    if two.guid in one.peers.get(name, ()):
        return
    if one.linked(two):
        raise NotAllowed(f"{two.label} is connected already", where=one.label)
    one.peers.setdefault(_free_slot(one, two, name) or name, []).append(two.guid)


def fitting(cls: type[ResourceManager], peer: type[ResourceManager]) -> list[str]:
    """Names of the connections of ``cls`` that take a ``peer``, in the order declared.

    A connection takes managers of the class of its rtype and of classes derived from it.
    """
    lineage = {vars(base).get("rtype") for base in peer.__mro__}
    return [
        name
        for name, slot in cls.connections.items()
        if slot.rtype == ANY or registry.canonical(slot.rtype) in lineage
    ]


def _free_slot(one: Resource, other: Resource, wanted: str | None = None) -> str | None:
    """The first connection of ``one`` that has room for ``other``; None if none would fit."""
    names = fitting(one.cls, other.cls)
    if wanted is not None:
        if wanted not in names:
            raise NotAllowed(
                f"connection {quoted(wanted)} takes no {other.cls.rtype}",
                where=one.label,
                hint=_offers(one.cls),
            )
        names = [wanted]
    for name in names:
        if one.cls.connections[name].many or not one.peers.get(name):
            return name
    if names:
        raise NotAllowed(
            f"connection {quoted(names[0])} holds one {other.cls.rtype} only and has one",
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
