"""The classes of ns-3's types, made from the TypeId registry when they are used.

``nepiq.controller.resources.ns3.types.CsmaNetDevice`` manages ``ns3::CsmaNetDevice``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...model import Attribute
from . import objects, typeids
from .catalogue import PREFIX, RENAMED, typeid_of
from .declarations import declarations

if TYPE_CHECKING:
    from ...model import ResourceManager

#: The family of a type: that of the first of these types that it is derived from.
_FAMILIES: tuple[tuple[str, type[objects.Ns3Object]], ...] = (
    ("ns3::BridgeNetDevice", objects.BridgeNetDevice),
    ("ns3::WifiNetDevice", objects.WifiNetDevice),
    ("ns3::NetDevice", objects.Device),
    ("ns3::WifiPhy", objects.WifiPhy),
    ("ns3::WifiMac", objects.WifiMac),
    ("ns3::WifiRemoteStationManager", objects.WifiManager),
    ("ns3::Channel", objects.Channel),
    ("ns3::Application", objects.Application),
    ("ns3::MobilityModel", objects.Mobility),
    ("ns3::QueueDisc", objects.QueueDisc),
    ("ns3::IpL4Protocol", objects.Protocol),
    ("ns3::Ipv4", objects.Protocol),
    ("ns3::Ipv6", objects.Protocol),
    ("ns3::ArpL3Protocol", objects.Protocol),
    ("ns3::TrafficControlLayer", objects.Protocol),
)


def __getattr__(name: str) -> type[ResourceManager]:
    typeid = "" if name.startswith("_") else typeid_of(name)
    if not typeid:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = _make(name, typeid)
    globals()[name] = made
    return made


def _make(name: str, typeid: str) -> type[ResourceManager]:
    info = typeids.find(typeid)
    family = next((cls for base, cls in _FAMILIES if info.is_a(base)), objects.Part)
    members: dict[str, Any] = declarations(typeid)
    renamed = RENAMED[name].attributes if name in RENAMED else {}
    for old, (new, values) in renamed.items():
        members[old] = _alias(members[new], old, values)
    members["renamed"] = renamed
    members["__doc__"] = f"An object of type {typeid} of ns-3, module {info.group or 'unknown'}."
    members["__module__"] = __name__
    members["__slots__"] = ()
    make: Any = type(family)
    made: type[ResourceManager] = make(
        name, (family,), members, rtype=PREFIX + name.replace("__", "::")
    )
    return made


def _alias(new: Attribute[Any], name: str, values: Mapping[Any, Any]) -> Attribute[Any]:
    kind = type(next(iter(values))) if values else new.kind
    same: Attribute[Any] = Attribute(kind, help=f"{new.name}, by its older name.", flags=new.flags)
    same.name = name
    # Not given, it says nothing, whatever the default of its kind.
    same.default = None
    return same
