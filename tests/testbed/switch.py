"""The switch: a network namespace with the bridges, to which each leg of a host is a port.

Nothing of it is in the network of this machine but one interface, whose other end is a port. When
the switch's process 1 dies, all of it goes, that interface too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from .claim import Claim
from .spaces import HERE, NETWORK, Space, net_here

SITE, PRIVATE = "site", "private"
# Packets to here leave, and nobody ever answers: no such port.
_NOBODY = "02:4e:51:ff:ff:ff"


@dataclass
class Leg:
    """A host's interface and its port. What holds for it holds from boot to boot."""

    interface: str
    port: str
    bridge: str
    address: str
    mac: str
    cut: bool = False
    loss: float = 0.0
    rate: str = ""


class Switch:
    """The bridges of a bed, and what happens to packets in them.

    Args:
        claim: whose addresses and names it uses.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self._legs: list[Leg] = []
        self._space = Space(claim.mark, [str(HERE / "switch.sh")], NETWORK)

    def start(self, unreachable: str) -> None:
        """Make the bridges and this machine's way to the site.

        Args:
            unreachable: the address of which this machine shall believe that it is there.
        """
        self._space.settle()
        lines = ["link set lo up"]
        for bridge in (SITE, PRIVATE):
            lines.append(f"link add name {bridge} type bridge")
            lines.append(f"link set {bridge} addrgenmode none up")
        link = self.claim.link
        lines.append(f"link add name machine type veth peer name {link} netns {os.getpid()}")
        lines.append(f"link set machine master {SITE} addrgenmode none up")
        self._space.net(["ip", "-batch", "-"], "\n".join(lines))
        ours = [
            f"link set {link} addrgenmode none up",
            f"address add {self.claim.site[1]}/24 dev {link}",
            # Else a packet to a private host would leave by the machine's default route.
            f"route add {self.claim.private} dev {link}",
            f"neighbour add {unreachable} lladdr {_NOBODY} dev {link} nud permanent",
        ]
        net_here(["ip", "-batch", "-"], "\n".join(ours))
        self._space.net(
            ["nft", "-f", "-"],
            "add table bridge testbed\n"
            "add chain bridge testbed links { type filter hook forward priority 0; }\n",
        )

    def plug(self, legs: Sequence[tuple[Leg, Space]]) -> None:
        """Connect the interfaces of hosts that have just begun to boot."""
        lines = []
        for leg, space in legs:
            lines.append(
                f"link add name {leg.port} type veth peer name {leg.interface} "
                f"address {leg.mac} netns {space.pid}"
            )
            lines.append(f"link set {leg.port} master {leg.bridge} addrgenmode none up")
            if leg not in self._legs:
                self._legs.append(leg)
        self._space.net(["ip", "-batch", "-"], "\n".join(lines))
        for leg, space in legs:
            if leg.rate:
                self.shape(leg, space)

    def unplug(self, legs: Sequence[Leg]) -> None:
        """Remove the ports of a host that has ended."""
        for leg in legs:
            # The kernel removes it too, some time after the host's network has gone.
            self._space.enter(["ip", "link", "delete", leg.port], only=("-n",))

    def filter(self) -> None:
        """Make the rules for cut and lossy legs those that hold; one transaction."""
        lines = ["flush chain bridge testbed links"]
        for leg in self._legs:
            for way in ("iifname", "oifname"):
                rule = f'add rule bridge testbed links {way} "{leg.port}"'
                if leg.cut:
                    lines.append(f"{rule} drop")
                elif leg.loss:
                    parts = round(leg.loss * 10_000)
                    lines.append(f"{rule} numgen random mod 10000 < {parts} drop")
        self._space.net(["nft", "-f", "-"], "\n".join(lines) + "\n")

    def shape(self, leg: Leg, space: Space) -> None:
        """Limit both directions of a leg to its rate, or lift the limit that it had: tc-tbf(8)."""
        for where, device in ((self._space, leg.port), (space, leg.interface)):
            if leg.rate:
                limit = ["tbf", "rate", leg.rate, "burst", "32kb", "latency", "100ms"]
                where.net(["tc", "qdisc", "replace", "dev", device, "root", *limit])
            else:
                where.net(["tc", "qdisc", "delete", "dev", device, "root"])

    def kill(self) -> None:
        """End it, and with it every link."""
        self._space.kill()

    def ended(self) -> None:
        """Wait until it has."""
        self._space.ended()
