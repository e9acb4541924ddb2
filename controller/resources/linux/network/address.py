"""linux::Address: an IP address of an interface."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ....errors import InvalidValue
from ....model import Action, Attribute, Change, Context, Flag
from .altered import added_address
from .device import Device
from .on_interface import OnInterface
from .values import Ip, PrefixLength

_LONGEST = {4: 32, 6: 128}


class Address(OnInterface, rtype="linux::Address"):
    """An IPv4 or IPv6 address of an interface, in addition to those that it has.

    An address that the interface has already is refused, and stays. After ip-address(8). An IPv6
    address can be used at once: it is not looked for in the network first (RFC 4862, 5.4).
    """

    ip = Attribute(Ip, help="The address.", flags=Flag.DESIGN, required=True)
    prefix = Attribute(
        PrefixLength,
        help="Length of its network's prefix; 24 for IPv4, 64 for IPv6 if not given.",
        flags=Flag.DESIGN,
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Check the prefix and the interface."""
        super().validate(conditional)
        if self.interface is None and not self.device:
            raise InvalidValue("give it device=, or connect it to an interface", where=self.label)
        if self._length > _LONGEST[self.ip.version]:
            raise InvalidValue(f"prefix {self.prefix} is too long for {self.ip}", where=self.label)

    @property
    def _length(self) -> int:
        if self.prefix is not None:
            return self.prefix
        return 24 if self.ip.version == 4 else 64

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the address."""
        del context
        made = isinstance(self.interface, Device)  # with its interface it goes anyway
        shared = not made and not self.host.emulates
        return added_address(f"{self.ip}/{self._length}", self.device_name(), shared=shared)
