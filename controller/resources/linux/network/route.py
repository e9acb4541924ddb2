"""linux::Route and linux::Rule: where packets go."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ....errors import InvalidValue
from ....model import ROUTE_PROTOCOL, Action, Attribute, Change, Connection, Context, Flag
from ..node import Node
from .configured import Configured
from .on_interface import OnInterface
from .values import InterfaceName, Ip, Network, PrefixLength, Table

_ALL = {4: "0.0.0.0/0", 6: "::/0"}


class Route(OnInterface, rtype="linux::Route", aliases=("LinuxRoute",)):
    """A route of a machine or an emulated host: by a next hop, an interface, or both.

    A route that is there already is refused, and stays. After ip-route(8); the kernel keeps the
    number 113 as the protocol of routes that nepiq has added.
    """

    network = Attribute(
        Network,
        help="The network, as 10.0.0.0/24, or 10.0.0.0 with prefix; default for all addresses.",
        flags=Flag.DESIGN,
        required=True,
    )
    prefix = Attribute(
        PrefixLength, help="Length of its prefix, if network has none.", flags=Flag.DESIGN
    )
    nexthop = Attribute(Ip, help="The address of the next router.", flags=Flag.DESIGN)
    metric = Attribute(
        int, help="Of several routes, the least counts.", range=(1, 2**32 - 1), flags=Flag.DESIGN
    )
    table = Attribute(Table, help="The routing table; main if not given.", flags=Flag.DESIGN)

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that the network and the next hop go together."""
        super().validate(conditional)
        if self.interface is None and not self.device and not self.nexthop:
            raise InvalidValue(
                "give it nexthop= or device=, or connect it to an interface", where=self.label
            )
        network = self._network
        if self.nexthop and Network.parse(network).version != self.nexthop.version:
            raise InvalidValue(f"{network} cannot be by way of {self.nexthop}", where=self.label)

    @property
    def _network(self) -> str:
        """The network as ip-route(8) reads it."""
        network = self.network
        if network == "default":
            return _ALL[self.nexthop.version if self.nexthop else 4]
        if self.prefix is None:
            return network
        if "/" in str(self.stored("network")):
            raise InvalidValue("give the prefix in network, or as prefix=", where=self.label)
        try:
            return Network.parse(f"{network.partition('/')[0]}/{self.prefix}")
        except InvalidValue as error:
            raise InvalidValue(f"network and prefix: {error.message}", where=self.label) from None

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the route."""
        del context
        words = {
            "via": self.nexthop,
            "dev": self.device_name(),
            "metric": self.metric,
            "table": self.table,
        }
        given = "".join(f" {word} {value}" for word, value in words.items() if value)
        it = f"{self._network}{given} proto {ROUTE_PROTOCOL}"
        return [Change(f"route add {it}", f"route del {it}")]


class Rule(Configured, rtype="linux::Rule"):
    """A rule that chooses the routing table of packets, by what they have.

    A rule that is there already is refused, and stays. After ip-rule(8).
    """

    source = Attribute(Network, help="Packets from this network.", flags=Flag.DESIGN)
    destination = Attribute(Network, help="Packets to this network.", flags=Flag.DESIGN)
    incoming = Attribute(
        InterfaceName, help="Packets that came in by this interface.", flags=Flag.DESIGN
    )
    outgoing = Attribute(
        InterfaceName, help="Packets of sockets bound to this interface.", flags=Flag.DESIGN
    )
    mark = Attribute(
        int, help="Packets with this firewall mark.", range=(1, 2**32 - 1), flags=Flag.DESIGN
    )
    priority = Attribute(
        int,
        help="The rules apply in this order; those of the system have 0, 32766 and 32767.",
        range=(1, 32765),
        flags=Flag.DESIGN,
        required=True,
    )
    table = Attribute(
        Table,
        help="The routing table that they are looked up in.",
        flags=Flag.DESIGN,
        required=True,
    )
    ipv6 = Attribute(
        bool, False, help="If neither network says so: a rule for IPv6.", flags=Flag.DESIGN
    )
    node = Connection(Node, required=True, help="The machine or emulated host.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that the networks go together."""
        del conditional
        if len(self._versions) > 1:
            raise InvalidValue(
                f"{self.source} and {self.destination} do not go together", where=self.label
            )

    @property
    def _versions(self) -> set[int]:
        given = (self.source, self.destination)
        return {network.version for network in given if network and network.version}

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the rule."""
        del context
        (version,) = self._versions or {6 if self.ipv6 else 4}
        words = {
            "from": self.source if self.source and self.source.version else _ALL[version],
            "to": self.destination if self.destination and self.destination.version else None,
            "iif": self.incoming,
            "oif": self.outgoing,
            "fwmark": self.mark,
            "priority": self.priority,
            "lookup": self.table,
        }
        given = " ".join(f"{word} {value}" for word, value in words.items() if value)
        it = f"{given} protocol {ROUTE_PROTOCOL}"
        return [Change(f"rule add {it}", f"rule del {it}")]
