"""How two resources are connected: which connection of one takes the other."""

from __future__ import annotations

from ..errors import NotAllowed
from . import registry
from .resource import ResourceManager
from .roster import Resource


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


def fitting(cls: type[ResourceManager], peer: type[ResourceManager]) -> list[str]:
    """Names of the connections of ``cls`` that take a ``peer``, in the order declared.

    A connection takes managers of the class of its rtype and of classes derived from it.
    """
    lineage = {vars(base).get("rtype") for base in peer.__mro__}
    return [
        name for name, slot in cls.connections.items() if registry.canonical(slot.rtype) in lineage
    ]


def _free_slot(one: Resource, other: Resource, wanted: str | None = None) -> str | None:
    """The first connection of ``one`` that has room for ``other``; None if none would fit."""
    names = fitting(one.cls, other.cls)
    if wanted is not None:
        if wanted not in names:
            raise NotAllowed(
                f"connection {wanted!r} takes no {other.cls.rtype}",
                where=one.label,
                hint=_offers(one.cls),
            )
        names = [wanted]
    for name in names:
        if one.cls.connections[name].many or not one.peers.get(name):
            return name
    if names:
        raise NotAllowed(
            f"connection {names[0]!r} holds one {other.cls.rtype} only and has one",
            where=one.label,
            hint="register another resource for the second connection",
        )
    return None


def _offers(*classes: type[ResourceManager]) -> str:
    texts = [
        f"{cls.rtype} can be connected to {slot.rtype}"
        for cls in dict.fromkeys(classes)
        for slot in cls.connections.values()
    ]
    return "; ".join(texts) or "neither can be connected to anything"
