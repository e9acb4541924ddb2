"""The attributes and traces of a type of ns-3, as the class of a resource type declares them."""

from __future__ import annotations

from typing import Any

from ...model import Trace
from . import kinds, typeids

#: The attribute that holds the names of enabled traces.
SWITCH = "tracing"

#: The traces of a device beyond its trace sources.
_DEVICE = {
    "pcap": "Packets that it sends and receives, in pcap format.",
    "promiscPcap": "All packets on its channel, in pcap format.",
    "ascii": "Its queue and receptions, in ns-3's ascii format.",
}


def declarations(typeid: str) -> dict[str, Any]:
    """Return what the class of a type declares, by name.

    Args:
        typeid: the name of its TypeId.
    """
    info = typeids.find(typeid)
    declared: dict[str, Any] = {"internal": False, "typeid": typeid}
    for name, item in info.attributes.items():
        attribute = kinds.attribute(item)
        if attribute is not None and name.isidentifier():
            attribute.name = name
            declared[name] = attribute
    declared["settings"] = frozenset(declared) - {"internal", "typeid"}
    sources = {name: source.help for name, source in info.traces.items()}
    for name, text in sources.items():
        if name not in declared:
            declared[name] = Trace(help=_sentence(text), file=f"{name}.csv", switch=SWITCH)
    if info.is_a("ns3::NetDevice"):
        for name, text in _DEVICE.items():
            declared[name] = Trace(help=text, switch=SWITCH)
    for name, item in declared.items():
        if isinstance(item, Trace):
            item.name = name
            item.file = item.file or name
    return declared


def _sentence(text: str) -> str:
    return text.strip() or "No description in ns-3."
