"""netns::RemoteLink: one end of a link to an emulated host on another machine."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Iterator, Sequence
from shlex import quote

from ...errors import InvalidValue
from ...model import Action, Attribute, Change, Connection, Context, Flag, device_name, link_alias
from ..linux.network.device import Device
from ..linux.network.ends import LinkEnd
from ..linux.network.kernel import require_link_kind
from ..linux.network.values import Ip
from .node import Node
from .switch import BRIDGE, Switch

# Makes a VXLAN interface $1 with the identifier $2 to the host $3 on the port $4. It is told over
# which interface it sends, so that its MTU is that one's less the headers.
_MAKE = "; ".join(
    [
        """set -- "$@" "$(getent ahostsv4 "$3" | sed -n '1s/ .*//p')\"""",
        '[ -n "$5" ] || { echo "the name $3 has no IPv4 address" >&2; exit 1; }',
        """over=$(ip -o route get "$5" | sed -n '1s/.* dev \\([^ ]*\\).*/\\1/p')""",
        '[ -n "$over" ] || exit 1',
        'exec ip link add "$1" type vxlan id "$2" remote "$5" dstport "$4" dev "$over"',
    ]
)


class RemoteLink(Device, rtype="netns::RemoteLink"):
    """One end of a link between emulated hosts or switches on two machines: VXLAN over IPv4.

    Each machine has one, connected to its emulated host as ``node``, to that at the other end as
    ``far``, and to the other end as ``peer``. The
    machines reach each other by UDP on ``port``, at ``address`` of the peer, or at the host name of
    its machine. Its MTU is that of the interface between the machines, less 50 bytes. After RFC
    7348, ip-link(8).
    """

    address = Attribute(
        Ip,
        help="Address at which its machine is reached from the other; by default its host name.",
        flags=Flag.DESIGN,
    )
    vni = Attribute(
        int,
        help="Identifier of the link on the wire, the same at both ends; by default made from the "
        "run and the resources.",
        range=(1, (1 << 24) - 1),
        flags=Flag.DESIGN,
    )
    port = Attribute(int, 4789, help="UDP port.", range=(1, 65535), flags=Flag.DESIGN)
    node = Connection(  # type: ignore[assignment]
        Node, required=True, help="The emulated host or switch that has it."
    )
    far = Connection(
        Node, required=True, help="The emulated host or switch at the other end, on its machine."
    )
    peer = Connection("netns::RemoteLink", waits=False, help="The other end.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it has another end."""
        del conditional
        if self.peer is None:
            raise InvalidValue(
                "connect it to the netns::RemoteLink at its other end", where=self.label
            )
        if self.far.guid != self.peer.node.guid:
            raise InvalidValue(
                f"connect it to {self.peer.node.label} as far, where the other end is",
                where=self.label,
            )
        if self.ip and isinstance(self.node, Switch):
            raise InvalidValue(f"a port of {self.node.label} has no address", where=self.label)

    @property
    def identifier(self) -> int:
        """Its identifier on the wire."""
        if self.vni:
            return int(self.vni)
        text = f"{self.run_id} {min(self.guid, self.peer.guid)}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:3], "big") or 1

    @property
    def _device(self) -> str:
        return str(self.deviceName or f"eth{self.guid}")

    @property
    def _is_named(self) -> bool:
        return True

    def creation(self, context: Context) -> Sequence[Change]:
        """Return the VXLAN interface, made on the machine and moved into the emulated host."""
        require_link_kind(context.host.facts, "vxlan")
        name, outside = self._device, device_name(self.run_id, self.guid)
        words = f"{outside} {self.identifier} {quote(self._there())} {self.port}"
        gone = f"! ip link show dev {outside} >/dev/null 2>&1 || ip link del dev {outside}"
        return [
            Change(f"sh -c {quote(_MAKE)} sh {words}", gone, "sh", ""),
            Change(
                f"link set dev {outside} alias {link_alias(self.run_id, self.guid)}",
                netns="",
            ),
            Change(f"link set dev {outside} netns {self.node.network_namespace()}", netns=""),
            Change(f"link set dev {outside} down", f"link del dev {outside}"),
            Change(f"link set dev {outside} name {name}"),
            Change(f"link property add dev {name} altname {outside}"),
            *self._port(name),
        ]

    def _there(self) -> str:
        """Return the address of the other machine, if possible one in a network of both."""
        if self.peer.address:
            return str(self.peer.address)
        ours = [
            ipaddress.ip_interface(address).network
            for interface in (self.node.machine.interfaces or {}).values()
            for address in interface.get("addresses", ())
        ]
        for address in self.far.machine.addresses.split():
            if any(ipaddress.ip_address(address) in network for network in ours):
                return address
        return str(self.far.machine.hostname)

    def _port(self, name: str) -> Iterator[Change]:
        if isinstance(self.node, Switch):
            yield Change(f"link set dev {name} master {BRIDGE}")
        if self.ip:
            alias = f"{self.node.label}-{name}"
            names = alias if self.node.addresses else f"{self.node.label} {alias}"
            line = f"{self.ip} {names}"
            yield Change(line, line, "hosts", "")

    def joined_hosts(self) -> Sequence[tuple[Node, Sequence[str]]]:
        """Return the emulated hosts or switches at both ends; the address is that of this end."""
        return [(self.node, [str(self.ip)] if self.ip else []), (self.far, [])]

    def link_ends(self) -> list[LinkEnd]:
        """Return this interface."""
        return [LinkEnd(self._device, self.node.network_namespace())]
