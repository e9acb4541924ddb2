"""linux::Firewall: packets that a host lets through."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ....errors import InvalidValue
from ....model import Action, Attribute, Change, Connection, Context, Flag, device_name
from ..node import Node
from .configured import Configured
from .kernel import require_program
from .packet_filter import NftRules, Ports, chain, rules, table
from .values import InterfaceName, Network

_SIMPLE = ("protocol", "port", "source", "destination", "incoming", "outgoing")
_IP = {4: "ip", 6: "ip6"}
_SSH_PORT = 22
_DISCOVERY = "nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert"


class Firewall(Configured, rtype="linux::Firewall"):
    """Rules for packets of a machine or an emulated host, in an nft table of their own.

    One rule can be described by attributes, which come first; others are lines of nft(8). Tables of
    others are not touched, and a packet that one of them drops stays dropped. Where the policy of a
    machine is drop, what it needs to be reached is let through at all hooks but forward: the
    loopback interface, the connections that are there, new ones to its port of SSH, and the
    discovery of neighbours and routers by IPv6 (RFC 4861).
    """

    hook = Attribute(
        str,
        "input",
        allowed=("prerouting", "input", "forward", "output", "postrouting"),
        help="Where packets are looked at (nft(8), ADDRESS FAMILIES).",
        flags=Flag.DESIGN,
    )
    priority = Attribute(
        int, 0, help="Of several at one hook, the least comes first.", flags=Flag.DESIGN
    )
    policy = Attribute(
        str,
        "accept",
        allowed=("accept", "drop"),
        help="What becomes of packets that no rule decides on.",
    )
    rules = Attribute(NftRules, "", help="Rules of nft(8), as: tcp dport 80 accept.")
    verdict = Attribute(
        str,
        "drop",
        allowed=("accept", "drop", "reject"),
        help="What becomes of packets with the attributes that follow.",
    )
    protocol = Attribute(
        str, allowed=("", "tcp", "udp", "icmp", "icmpv6", "sctp"), help="Packets of this protocol."
    )
    port = Attribute(Ports, help="Packets to these ports, as 80,443; tcp if there is no protocol.")
    source = Attribute(Network, help="Packets from this network.")
    destination = Attribute(Network, help="Packets to this network.")
    incoming = Attribute(InterfaceName, help="Packets that came in by this interface.")
    outgoing = Attribute(InterfaceName, help="Packets that leave by this interface.")
    node = Connection(Node, required=True, help="The machine or emulated host.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it does something."""
        del conditional
        if not [*self._described(), *self.rules] and self.policy == "accept":
            raise InvalidValue(
                "it lets everything through: give it rules=, policy=drop, or what to drop, "
                f"as {', '.join(_SIMPLE)}",
                where=self.label,
            )

    @property
    def _table(self) -> str:
        return f"inet {device_name(self.run_id, self.guid)}"

    def _described(self) -> Iterator[str]:
        """Yield the rule that the attributes describe."""
        terms = []
        for word, network in (("saddr", self.source), ("daddr", self.destination)):
            if network and network.version:
                terms.append(f"{_IP[network.version]} {word} {network}")
        if self.incoming:
            terms.append(f'iifname "{self.incoming}"')
        if self.outgoing:
            terms.append(f'oifname "{self.outgoing}"')
        if self.port:
            terms.append(f"{self.protocol or 'tcp'} dport {self.port.nft}")
        elif self.protocol:
            terms.append(f"meta l4proto {self.protocol}")
        if terms:
            yield f"{' '.join(terms)} counter {self.verdict}"

    def _kept(self) -> Iterator[str]:
        """Yield what lets through how a machine is reached."""
        if self.policy != "drop" or self.node.emulates or self.hook == "forward":
            return
        arriving = self.hook in ("input", "prerouting")
        name, port = ("iifname", "dport") if arriving else ("oifname", "sport")
        yield f'{name} "lo" accept'
        yield "ct state established,related accept"
        yield f"tcp {port} {self.node.port or _SSH_PORT} accept"
        yield f"icmpv6 type {{ {_DISCOVERY} }} accept"

    def _rules(self) -> Iterator[Change]:
        lines = (*self._kept(), *self._described(), *self.rules)
        return rules(self._table, self.hook, iter(lines))

    def _chain(self) -> Change:
        return chain(self._table, self.hook, "filter", self.priority, self.policy)

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the table with its chain and rules.

        Raises:
            HostError: the host has no nft.
        """
        require_program(context, "nft", "nftables")
        return [table(*self._table.split()), self._chain(), *self._rules()]

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Replace the rules, in one transaction."""
        setattr(self, name, value)
        flush = Change(f"flush chain {self._table} {self.hook}", tool="nft")
        context.host.configure([self._chain(), flush, *self._rules()], anew=False)
