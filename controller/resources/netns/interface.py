"""netns::NodeInterface: an interface of an emulated host."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from shlex import quote

from ...errors import HostError, InvalidValue
from ...model import Action, Attribute, Change, Connection, Context, Flag
from ..linux.network.device import Device
from ..linux.network.values import InterfaceName
from .node import Node
from .switch import BRIDGE, Switch

# Moves the interface $1 into the namespace $3, after writing to the file $2 what brings it back to
# its state: lines of ip(8).
_MOVE = "; ".join(
    [
        "d=$1",
        'ip link show dev "$d" >/dev/null || exit',
        '[ -z "$(ip route show default dev "$d")" ] || '
        '{ echo "the default route of the machine leads over $d" >&2; exit 1; }',
        "{ read -r flags </sys/class/net/$d/flags",
        "read -r mtu </sys/class/net/$d/mtu",
        "echo link set dev $d mtu $mtu",
        "[ $((flags & 1)) = 0 ] || echo link set dev $d up",
        "ip -o address show dev $d scope global | "
        "while read -r _ _ _ address _; do echo address replace $address dev $d; done",
        "for family in 4 6; do ip -$family route show dev $d | grep -v 'proto kernel' | "
        "while read -r route; do echo route replace ${route% linkdown} dev $d; done; done",
        '} >"$2"',
        'ip link set dev $d netns "$3" || { rm "$2"; false; }',
    ]
)

# Brings the interface $1 home from the namespace $3, where it is called $4.
_HOME = "; ".join(
    [
        '[ -e "$2" ] || exit 0',
        'ip -n "$3" link set dev "$4" down 2>/dev/null && '
        '{ [ "$1" = "$4" ] || ip -n "$3" link set dev "$4" name "$1"; '
        'ip -n "$3" link set dev "$1" netns $$; }',
        'ip link show dev "$1" >/dev/null 2>&1 && ip -force -batch "$2" >/dev/null',
        'rm "$2"',
    ]
)


class NodeInterface(Device, rtype="netns::NodeInterface"):
    """An interface of an emulated host: a port of a switch, or an interface of the machine.

    An interface of the machine, such as ``eth1``, a linux::Macvlan or a linux::Vlan, belongs to the
    emulated host until the release, and is then brought home with its addresses and routes. That
    with the machine's default route or login address is refused.
    """

    device = Attribute(
        InterfaceName,
        help="Name of an interface of the machine that is moved into the emulated host.",
        flags=Flag.DESIGN,
    )
    node = Connection(  # type: ignore[assignment]
        Node, required=True, help="The emulated host that has it."
    )
    switch = Connection(Switch, waits=True, help="The switch that it is connected to.")
    interface = Connection(
        "linux::Interface", waits=True, help="The interface that is moved, instead of device."
    )
    macvlan = Connection("linux::Macvlan", waits=True, help="The same, made on the machine.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it leads to one thing."""
        del conditional
        ways = (self.switch, self.device, self.interface, self.macvlan)
        if sum(map(bool, ways)) != 1:
            raise InvalidValue(
                "connect it to a netns::Switch, or name the device of the machine to be moved",
                where=self.label,
            )

    @property
    def _device(self) -> str:
        usual = self._moved_device if self.switch is None else f"eth{self.guid}"
        return str(self.deviceName or usual)

    @property
    def _is_named(self) -> bool:
        return True

    @property
    def _moved_device(self) -> str:
        moved = self.interface or self.macvlan
        return str(self.device or (moved.deviceName if moved else ""))

    def kind(self, context: Context) -> str:
        """Return the kind of a port."""
        del context
        return "veth"

    def creation(self, context: Context) -> Sequence[Change]:
        """Return the pair of which one end is a port, or the way of a device into the host."""
        if self.switch is None:
            return list(self._move(context))
        name, port = self._device, f"{self.node.label[:8]}{self.guid}"
        ports = self.switch.network_namespace()
        size = f" mtu {self.mtu}" if self.mtu else ""
        made = f"link add name {name}{size} type veth peer name {port}{size} netns {ports}"
        return [
            Change(made, f"link del dev {name}"),
            Change(f"link set dev {port} master {BRIDGE} up", netns=ports),
        ]

    def _move(self, context: Context) -> Iterator[Change]:
        device, name = self._moved_device, self._device
        self._refuse_lifeline(context, device)
        space = self.node.network_namespace()
        above, guid, _ = context.run_dir.rsplit("/", 2)
        words = f"{device} {quote(f'{above}/home-{guid}')} {space}"
        yield Change(
            f"sh -c {quote(_MOVE)} sh {words}", f"sh -c {quote(_HOME)} sh {words} {name}", "sh", ""
        )
        if name != device:
            yield Change(f"link set dev {device} name {name}")

    def _refuse_lifeline(self, context: Context, device: str) -> None:
        shown = context.host.facts.interfaces.get(device)
        login = self.node.machine.hostname
        if shown and login in [address.partition("/")[0] for address in shown.addresses]:
            raise HostError(
                f"{device} has the address {login}, by which the machine is reached",
                hint="move another interface",
            )
