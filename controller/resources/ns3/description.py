"""The description of a simulation: what its objects are, as lines for ``simulator``.

The lines follow the phases of ns-3's own examples: nodes, channels, devices, mobility, stacks,
addresses, routes, applications, traces. Objects of a phase are made in the order in which they were
registered, and a part before the first object that has it. Random numbers and MAC addresses
therefore are those of a program that makes the same objects by ns-3's helpers, in these phases.
simulator/builder.h carries the lines out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from ...errors import InvalidValue
from . import typeids
from .objects import (
    Application,
    BridgeNetDevice,
    Channel,
    Device,
    Mobility,
    Node,
    Ns3Object,
    Part,
    Protocol,
    QueueDisc,
    Route,
    WifiNetDevice,
)

if TYPE_CHECKING:
    from .simulation import Simulation

Line = dict[str, Any]

#: The verbs of lines that make objects.
_MAKING = ("create", "wifi", "part", "qdisc")


def write(simulation: Simulation) -> bytes:
    """Return the description of a simulation and all that is connected to it, as JSON lines.

    Raises:
        InvalidValue: an object cannot be used where it is connected.
    """
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines(simulation))


def lines(simulation: Simulation) -> Iterator[Line]:
    """Yield the lines of the description of a simulation."""
    objects = Objects(simulation.nodes)
    phases = (
        _globals(simulation),
        _nodes_and_channels(objects),
        _devices(objects),
        _mobility(objects),
        _stacks(objects),
        _routes(objects),
        _applications(objects),
        _whole(simulation),
        (line for item in objects for line in _traces(item)),
    )
    made: set[int] = set()
    for line in chain.from_iterable(phases):
        ids = _made_by(line)
        if line["do"] != "create" or not made.issuperset(ids):
            yield line
        made.update(ids)
    for part in objects.of(Part):
        if part.guid not in made:
            raise InvalidValue(
                f"{part.label} ({part.typeid}) is a part of an object that cannot have parts"
            )
    if simulation.StopTime:
        yield {"do": "stop", "at": simulation.StopTime}


def outline(simulation: Simulation) -> Iterator[str]:
    """Yield a line for each object of a simulation, for people."""
    for line in lines(simulation):
        who, verb = line.get("who", ""), line["do"]
        if "type" in line:
            yield " ".join([f"{who}: {line['type']}", *_settings(line)])
        elif verb == "wifi":
            parts = [line[name] for name in ("phy", "mac", "manager", "error") if name in line]
            yield f"{who}: ns3::WifiNetDevice, {line['standard']}"
            for part in parts:
                yield " ".join([f"{part['who']}: {part['type']}", *_settings(part)])
        elif verb == "address":
            yield f"{who}: address {line['ip']}/{line['prefix']}"
        elif verb == "route":
            yield f"{who}: {line['network']}/{line['prefix']} by {line['nexthop']}"
        elif verb == "tap":
            yield f"{who}: TAP interface {line['name']}"
        elif verb == "trace":
            yield f"{who}: trace {line['source']}"


def _settings(line: Line) -> list[str]:
    return [f"{name}={value}" for name, value in line["set"].items() if not isinstance(value, dict)]


class Objects:
    """All objects that are connected to some nodes, each once, in the order of their guids."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        found: dict[int, Ns3Object] = {}
        pending: list[Any] = list(nodes)
        while pending:
            item = pending.pop()
            if not isinstance(item, Ns3Object) or item.guid in found:
                continue
            found[item.guid] = item
            for name in item.connections:
                pending.extend(item.peers.get(name, ()))
        self._objects = [found[guid] for guid in sorted(found)]

    def __iter__(self) -> Iterator[Ns3Object]:
        return iter(self._objects)

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the objects of a family."""
        return [item for item in self._objects if isinstance(item, kind)]


def _made_by(line: Line) -> set[int]:
    """Return the guids of the objects that a line makes."""
    nested = (item for item in line.values() if isinstance(item, dict) and "do" in item)
    return {item["id"] for item in (line, *nested) if item.get("do") in _MAKING and "id" in item}


def _globals(simulation: Simulation) -> Iterator[Line]:
    values = {
        "SimulatorImplementationType": simulation.simulatorImplementationType,
        "SchedulerType": simulation.schedulerType,
        "ChecksumEnabled": simulation.checksumEnabled,
        "RngSeed": simulation.seed,
        "RngRun": simulation.run,
    }
    for name, value in values.items():
        if value not in (None, "", False):
            yield {"do": "global", "name": name, "value": value}
    for name, value in simulation.defaults.items():
        yield {"do": "default", "name": name, "value": value}
    if simulation.nsLog:
        yield {"do": "log", "levels": dict(simulation.nsLog)}


def _nodes_and_channels(objects: Objects) -> Iterator[Line]:
    for node in objects.of(Node):
        yield _create(node)
    for channel in objects.of(Channel):
        yield from _with_parts(channel)


def _devices(objects: Objects) -> Iterator[Line]:
    for device in objects.of(Device):
        yield from _device(device)
    for bridge in objects.of(BridgeNetDevice):
        for port in bridge.ports:
            yield {"do": "port", "id": bridge.guid, "device": port.guid, "who": bridge.label}


def _mobility(objects: Objects) -> Iterator[Line]:
    models = objects.of(Mobility)
    if models:
        yield {"do": "mobility"}
    for model in models:
        # As ns-3's MobilityHelper does: to set a position can have a random number drawn.
        place = {"Position": model.Position} if "Position" in model.settings else {}
        yield from _with_parts(model, extra=place)
        yield {"do": "aggregate", "id": model.guid, "to": model.node.guid, "who": model.label}


def _stacks(objects: Objects) -> Iterator[Line]:
    for node in objects.of(Node):
        if node.enableStack or node.protocols:
            yield {"do": "stack", "node": node.guid, "routing": node.routing, "who": node.label}
    for protocol in objects.of(Protocol):
        *parts, line = _with_parts(protocol)
        yield from parts
        yield {**line, "do": "part", "node": protocol.node.guid}
    for discipline in objects.of(QueueDisc):
        yield {**_create(discipline), "do": "qdisc", "device": discipline.device.guid}
    for device in objects.of(Device):
        if device.ip:
            yield _address(device)


def _routes(objects: Objects) -> Iterator[Line]:
    return (_route(route) for route in objects.of(Route))


def _applications(objects: Objects) -> Iterator[Line]:
    for item in objects.of(Application):
        yield from _with_parts(item)
        yield {"do": "application", "id": item.guid, "node": item.node.guid, "who": item.label}


def _whole(simulation: Simulation) -> Iterator[Line]:
    """Yield what concerns the simulation as a whole, after its objects."""
    if simulation.populateRoutingTables:
        yield {"do": "populate"}
    if simulation.flowMonitor:
        yield {"do": "flows"}


def _create(item: Ns3Object, extra: dict[str, Any] | None = None) -> Line:
    return {
        "do": "create",
        "id": item.guid,
        "who": item.label,
        "type": item.typeid,
        "set": {**item.given(), **(extra or {})},
    }


def _with_parts(
    item: Ns3Object, leave: Iterable[Part] = (), extra: dict[str, Any] | None = None
) -> Iterator[Line]:
    """Yield the lines that make an object, the last one, and those that make its parts."""
    values = dict(extra or {})
    yield from _parts(item, [part for part in item.parts if part not in leave], values)
    yield _create(item, values)


def _parts(item: Ns3Object, parts: Sequence[Part], values: dict[str, Any]) -> Iterator[Line]:
    """Yield the lines that make parts of an object; put them into the values of its attributes.

    Raises:
        InvalidValue: two of them are for the same attribute.
    """
    previous: dict[str, Part] = {}
    for part in sorted(parts, key=lambda part: part.guid):
        yield from _with_parts(part)
        attribute = _attribute_for(item, part)
        if attribute in previous and not _is_a(part, "ns3::PropagationLossModel"):
            raise InvalidValue(
                f"{part.label} and {previous[attribute].label} are both for attribute {attribute} "
                f"of {item.label}",
                hint="set their attribute to the name of an attribute of the object",
            )
        if attribute in previous:
            yield {
                "do": "next",
                "id": previous[attribute].guid,
                "after": part.guid,
                "who": part.label,
            }
        else:
            values[attribute] = {"ref": part.guid}
        previous[attribute] = part


def _is_a(item: Ns3Object, base: str) -> bool:
    return typeids.find(item.typeid).is_a(base)


def _attribute_for(owner: Ns3Object, part: Part) -> str:
    """Return the pointer attribute of an object that accepts another one.

    Raises:
        InvalidValue: there is none, or it is not the one that is wanted.
    """
    for name, attribute in typeids.find(owner.typeid).attributes.items():
        base = attribute.values.removeprefix("ns3::Ptr<").removesuffix(">").strip()
        if (
            attribute.kind == "ns3::PointerValue"
            and (attribute.settable or attribute.constructs)
            and _is_a(part, base)
            and (part.attribute == name or (not part.attribute and base != "ns3::Object"))
        ):
            return name
    which = f"its attribute {part.attribute}" if part.attribute else "none of its attributes"
    raise InvalidValue(
        f"{part.label} ({part.typeid}) cannot be a part of {owner.label} ({owner.typeid}): "
        f"{which} {'does not take' if part.attribute else 'takes'} such an object"
    )


def _device(device: Device) -> Iterator[Line]:
    if isinstance(device, WifiNetDevice):
        yield from _wifi(device)
        return
    queues = [part for part in device.parts if _is_a(part, "ns3::Queue<Packet>")]
    yield from _with_parts(device, leave=queues)
    line: Line = {"do": "device", "id": device.guid, "node": device.node.guid, "who": device.label}
    if queues:
        yield from _with_parts(queues[0])
        line["queue"] = queues[0].guid
    if device.channel is not None:
        line["channel"] = device.channel.guid
    if device.mac:
        line["mac"] = device.mac
    yield line
    tap = device.joined()
    if tap is not None:
        yield {
            "do": "tap",
            "device": device.guid,
            "name": tap.interface,
            "namespace": tap.node.network_namespace() if tap.node.emulates else "",
            "who": tap.label,
        }


def _wifi(device: WifiNetDevice) -> Iterator[Line]:
    phy, mac, manager = device.phy, device.medium_access, device.manager
    channel = (phy.channel if phy is not None else None) or device.channel
    if channel is None:
        raise InvalidValue(
            f"{device.label} has no channel",
            hint="connect its ns3::YansWifiPhy, or itself, to an ns3::YansWifiChannel",
        )
    standards = [part.Standard for part in (phy, mac) if part is not None and part.Standard]
    line: Line = {
        **_create(device),
        "do": "wifi",
        "node": device.node.guid,
        "channel": channel.guid,
        "standard": standards[0] if standards else device.standard,
    }
    # The helper takes the type of the error rate model, not an object.
    errors = [part for part in phy.parts if _is_a(part, "ns3::ErrorRateModel")] if phy else []
    if errors:
        line["error"] = _create(errors[0])
    for name, part in (("phy", phy), ("mac", mac), ("manager", manager)):
        if part is not None:
            line[name] = _create(part)
            later: dict[str, Any] = {}
            yield from _parts(part, [item for item in part.parts if item not in errors], later)
            line[name]["later"] = later
    if device.mac:
        line["mac_address"] = device.mac
    yield line


def _address(device: Device) -> Line:
    return {
        "do": "address",
        "device": device.guid,
        "ip": device.ip,
        "prefix": device.prefix,
        "who": device.label,
    }


def _route(route: Route) -> Line:
    return {
        "do": "route",
        "node": route.node.guid,
        "network": route.network,
        "prefix": route.prefix,
        "nexthop": route.nexthop,
        "metric": route.metric,
        "who": route.label,
    }


def _traces(item: Ns3Object) -> Iterator[Line]:
    for name in item.tracing:
        declared = item.traces.get(name)
        source = name.removeprefix("count:")
        file = declared.file if declared is not None else f"{source}.count"
        yield {
            "do": "trace",
            "id": item.guid,
            "who": item.label,
            "source": name,
            "file": f"../../{item.guid}/{item.occasion}/{file}",
        }
