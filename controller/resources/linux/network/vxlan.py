"""linux::VXLAN: one end of an Ethernet link between two machines, in UDP."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from ....errors import HostError, InvalidValue
from ....model import Action, Attribute, Change, Connection, Context, Flag, ResourceManager
from .endpoint import Endpoint, Way, machine, machines
from .kernel import require_link_kind
from .values import Ip

#: Bytes of the headers of UDP, VXLAN and the inner frame (RFC 7348, 5).
HEADER = 8 + 8 + 14


class VXLAN(Endpoint, rtype="linux::VXLAN"):
    """One end of an Ethernet link to another machine: frames in UDP packets, by the kernel.

    Connect the two ends to each other, or give the address of a foreign end. After RFC 7348 and
    ip-link(8), "VXLAN Type Support".
    """

    vni = Attribute(
        int,
        help="Number of the network, at both ends; by default made from the run and the ends.",
        range=(1, 2**24 - 1),
        flags=Flag.DESIGN,
    )
    port = Attribute(int, 4789, help="UDP port at both ends.", range=(1, 65535), flags=Flag.DESIGN)
    remote = Attribute(Ip, help="Address of the other end if it is no resource.", flags=Flag.DESIGN)
    peer = Connection("linux::VXLAN", waits=False, help="The other end.")

    def other(self) -> VXLAN | None:
        """Return the other end, if it is a resource."""
        peer: VXLAN | None = self.peer
        return peer

    def overhead(self) -> int:
        """Return the headers of UDP, VXLAN and the inner frame."""
        return HEADER

    def awaits(self) -> Collection[ResourceManager]:
        """Return the machine of the other end, which reports its address."""
        return machines(self.peer)

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that there is one other end, on another machine."""
        del conditional
        if (self.peer is None) == (self.remote is None):
            raise InvalidValue(
                f"connect it to another {self.rtype}, or set remote", where=self.label
            )
        if self.remote is not None and self.vni is None:
            raise InvalidValue("set vni to that of the other end", where=self.label)
        if self.peer is not None and machine(self.peer).guid == machine(self).guid:
            raise InvalidValue(
                "both ends are on one machine",
                where=self.label,
                hint="use a netns::Link or a linux::Bridge there",
            )

    def way(self) -> Way:
        """Return the way to the other end.

        Raises:
            HostError: both ends are on one machine.
        """
        if self.remote is not None:
            return Way(self.local or "", self.remote)
        found = super().way()
        if found.remote == "127.0.0.1":
            raise HostError(
                f"{self.label} and {self.peer.label} are on one machine",
                hint="use a netns::Link or a linux::Bridge there",
            )
        return found

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the interface, with an MTU that fits."""
        require_link_kind(context.host.facts, "vxlan")
        self.fit(self.way())
        return super().configuration(context)

    def kind(self, context: Context) -> str:
        """Return the kind with its options."""
        del context
        way = self.way()
        local = f" local {way.local}" if way.local else ""
        return (
            f"vxlan id {self.network()}{local} remote {way.remote} "
            f"dstport {self._agreed('port') or self.port}"
        )

    def network(self) -> int:
        """Return the number of the network, the same at both ends."""
        given = self._agreed("vni")
        guids = sorted(end.guid for end in self._ends())
        text = f"{self.run_id} {guids[0]} {guids[-1]}"
        made = int.from_bytes(hashlib.sha256(text.encode()).digest()[:3], "big")
        return given or made or 1

    def _ends(self) -> list[VXLAN]:
        return [self] if self.peer is None else sorted((self, self.peer), key=lambda it: it.guid)

    def _agreed(self, name: str) -> int | None:
        """Return what is given at one of the ends."""
        found = (end.stored(name) for end in self._ends())
        return next((int(value) for value in found if value is not None), None)
