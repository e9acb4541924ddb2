"""linux::Nat: translation of addresses by a host."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ....errors import InvalidValue
from ....model import Action, Attribute, Change, Context, Flag, device_name
from .kernel import require_program
from .on_interface import OnInterface
from .packet_filter import Forwards, chain, rules, table
from .values import Network

_BEFORE, _AFTER = -100, 100  # the usual priorities: dstnat and srcnat of nft(8)


class Nat(OnInterface, rtype="linux::Nat"):
    """A host that lets others use its address (masquerade), and leads ports to them.

    IPv4 only. The host forwards packets then: ``net.ipv4.ip_forward`` is set, and restored when no
    other resource needs it. Rules of others that drop forwarded packets, such as Docker's, still
    apply. After nft(8), "NAT STATEMENTS".
    """

    masquerade = Attribute(
        bool,
        True,
        help="Whether packets that leave by the interface get its address.",
        flags=Flag.DESIGN,
    )
    source = Attribute(Network, help="Only packets from this network get it.", flags=Flag.DESIGN)
    forwards = Attribute(
        Forwards,
        "",
        help="Ports that lead to another machine, as 8080:10.0.0.2:80 or udp:53:10.0.0.3:53.",
        flags=Flag.DESIGN,
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it does something, for IPv4."""
        super().validate(conditional)
        if self.source and self.source.version == 6:
            raise InvalidValue(f"{self.source} is not a network of IPv4", where=self.label)
        if self.masquerade and not (self.source or self.device or self.interface):
            raise InvalidValue(
                "give it source=, or device= or a connection to an interface, or masquerade=False",
                where=self.label,
            )
        if not self.masquerade and not self.forwards:
            raise InvalidValue("it does nothing: give it forwards=", where=self.label)

    @property
    def _table(self) -> str:
        return f"ip {device_name(self.run_id, self.guid)}"

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the table with its chains.

        Raises:
            HostError: the host has no nft.
        """
        require_program(context, "nft", "nftables")
        it = self._table
        changes = [
            Change("net.ipv4.ip_forward=1", tool="sysctl"),
            table(*it.split()),
            chain(it, "postrouting", "nat", _AFTER),
            *rules(it, "postrouting", self._outbound()),
        ]
        if self.forwards:
            changes += [
                chain(it, "prerouting", "nat", _BEFORE),
                chain(it, "output", "nat", _BEFORE),
            ]
            for hook in ("prerouting", "output"):
                changes += rules(it, hook, self._inbound())
        return changes

    def _outbound(self) -> Iterator[str]:
        if not self.masquerade:
            return
        name, source = self.device_name(), self.source
        terms = []
        if source and source.version:
            terms.append(f"ip saddr {source}")
            if not name:
                terms.append(f"ip daddr != {source}")
        if name:
            terms.append(f'oifname "{name}"')
        yield f"{' '.join(terms)} masquerade"

    def _inbound(self) -> Iterator[str]:
        for forward in self.forwards:
            yield (
                f"fib daddr type local {forward.protocol} dport {forward.port} "
                f"dnat to {forward.address}:{forward.target}"
            )
