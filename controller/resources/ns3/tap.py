"""Taps that join a simulated device to the network of a host."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ...errors import InvalidValue
from ...model import Action, Attribute, Change, Connection, Flag, ResourceManager
from ...model.configuration import ROUTE_PROTOCOL
from ..linux.network.tuntap import Tap
from .kinds import Ipv4


class TapLink(Tap, rtype="linux::ns3::TapLink"):
    """A TAP interface whose other end is an ns3::FdNetDevice.

    What the host, or the emulated host that it is connected to, sends to the interface, the
    simulated device receives, so that real applications talk through the simulated network.
    """

    gateway = Attribute(
        Ipv4,
        help="Address of the simulated device, as the default route of the host.",
        flags=Flag.DESIGN,
    )
    simulated = Connection("ns3::FdNetDevice", help="The simulated device.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that only the simulation reads its packets."""
        super().validate(conditional)
        if self.tunnel is not None:
            raise InvalidValue(
                "a program of a tunnel and a simulation cannot both have the interface",
                where=self.label,
                hint="join another linux::Tap to it by a linux::Bridge",
            )

    def _settings(self) -> Iterator[Change]:
        yield from super()._settings()
        if self.gateway:
            # It goes with the interface.
            yield Change(
                f"route add default via {self.gateway} dev {self.interface} proto {ROUTE_PROTOCOL}"
            )


class TunTapFdLink(ResourceManager, rtype="linux::ns3::TunTapFdLink"):
    """A link between a linux::Tap and an ns3::FdNetDevice of the same host, as NEPI has it."""

    does_io = False
    endless = True

    tap = Connection(Tap, required=True, help="The interface of the host.")
    device = Connection(
        "ns3::FdNetDevice", required=True, waits=False, help="The simulated device."
    )
