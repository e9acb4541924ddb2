"""The names of the resource types that ns-3's types are managed by.

It does not import their classes, which types.py makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from . import typeids

PREFIX = "ns3::"


class Renamed(NamedTuple):
    """A type of NEPI's scripts that has another name in today's ns-3.

    Attributes:
        name: today's name.
        attributes: by the older name of an attribute, today's name, and today's values by older
            ones if they have changed.
    """

    name: str
    attributes: Mapping[str, tuple[str, Mapping[Any, Any]]] = MappingProxyType({})


#: Types of the ns-3 that NEPI drove (3.20), which are still accepted.
RENAMED = {
    "V4Ping": Renamed(
        "Ping",
        {
            "Remote": ("Destination", {}),
            "Verbose": ("VerboseMode", {True: "Verbose", False: "Quiet"}),
        },
    ),
    "DropTailQueue": Renamed("DropTailQueue<Packet>"),
    "RedQueue": Renamed("RedQueueDisc"),
    "CoDelQueue": Renamed("CoDelQueueDisc"),
    "TcpNewReno": Renamed("TcpLinuxReno"),
    "LrWpanNetDevice": Renamed("lrwpan::LrWpanNetDevice"),
}


def names() -> list[str]:
    """Return the resource types of ns-3, sorted."""
    known = [name for name in typeids.names() if "<" not in name]
    return sorted({*known, *(PREFIX + name for name in RENAMED)})


def location(rtype: str) -> str:
    """Return the location of the class of a resource type, ``module:Class``; empty if none."""
    name = rtype.removeprefix(PREFIX).replace("::", "__")
    if not rtype.startswith(PREFIX) or not typeid_of(name):
        return ""
    return f"{__package__}.types:{name}"


def typeid_of(name: str) -> str:
    """Return the TypeId of the class with a name; empty if there is none."""
    renamed = RENAMED.get(name)
    typeid = PREFIX + (renamed.name if renamed else name.replace("__", "::"))
    return typeid if typeid in typeids.names() else ""
