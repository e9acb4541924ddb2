"""netns::IPv4Address and netns::IPv6Address: further addresses of an interface."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ...errors import InvalidValue
from ...model import Action, Change, Context
from ..linux.network.address import Address


class _Address(Address):
    """An address of an interface of an emulated host, with a name in ``/etc/hosts``."""

    version = 0

    def validate(self, conditional: Collection[Action]) -> None:
        """Check the version, and where it is."""
        super().validate(conditional)
        if self.ip.version != self.version:
            raise InvalidValue(f"{self.ip} is not of IPv{self.version}", where=self.label)
        if not self.host.emulates:
            raise InvalidValue(
                f"{self.host.label} is no emulated host",
                where=self.label,
                hint="use linux::Address",
            )

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the address, and the name of the host at it."""
        host: Any = self.host  # an emulated one
        return [*super().configuration(context), *host.names_at(self.device_name(), [self.ip])]


class IPv4Address(_Address, rtype="netns::IPv4Address"):
    """An IPv4 address of an interface of an emulated host."""

    version = 4


class IPv6Address(_Address, rtype="netns::IPv6Address"):
    """An IPv6 address of an interface of an emulated host."""

    version = 6
