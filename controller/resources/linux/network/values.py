"""Values of network configuration, checked where they are given."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from ....errors import InvalidValue

#: Most characters of the name of an interface (IFNAMSIZ of netdevice(7), less the final NUL).
LONGEST_NAME = 15


class InterfaceName(str):
    """The name of a network interface, at most 15 characters (IFNAMSIZ of netdevice(7))."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> InterfaceName:
        """Return a name that the kernel accepts."""
        usable = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", value)
        if not usable or len(value) > LONGEST_NAME:
            raise InvalidValue(
                f"must be the name of an interface, at most {LONGEST_NAME} characters"
            )
        return cls(value)


class Ipv4(str):
    """An IPv4 address, ``10.0.0.1``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Ipv4:
        """Return the address in its usual form."""
        try:
            return cls(ipaddress.IPv4Address(_text(value)))
        except ValueError:
            raise InvalidValue("must be an IPv4 address, as 10.0.0.1") from None


class Ipv6(str):
    """An IPv6 address, ``fd00::1`` (RFC 5952)."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Ipv6:
        """Return the address in its usual form."""
        try:
            return cls(ipaddress.IPv6Address(_text(value)))
        except ValueError:
            raise InvalidValue("must be an IPv6 address, as fd00::1") from None


class Ip(str):
    """An IPv4 or IPv6 address."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Ip:
        """Return the address in its usual form."""
        try:
            return cls(ipaddress.ip_address(_text(value)))
        except ValueError:
            raise InvalidValue("must be an IP address, as 10.0.0.1 or fd00::1") from None

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self else 4


class IpWithPrefix(str):
    """An address and the length of its network's prefix, ``10.0.0.1/24`` or ``fd00::1/64``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> IpWithPrefix:
        """Return both in their usual form."""
        text = _text(value)
        try:
            if "/" not in text:
                raise ValueError
            return cls(ipaddress.ip_interface(text).with_prefixlen)
        except ValueError:
            raise InvalidValue("must be an address with its prefix, as 10.0.0.1/24") from None

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self else 4

    @property
    def address(self) -> str:
        """The address without the prefix."""
        return self.partition("/")[0]


class Addresses(tuple[IpWithPrefix, ...]):
    """Addresses with their prefixes, separated by blanks, or as a list."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Addresses:
        """Return the addresses in their usual form."""
        texts = value.split() if isinstance(value, str) else value
        if not isinstance(texts, (list, tuple)):
            raise InvalidValue("must be addresses with their prefixes, as 10.0.0.1/24")
        return cls(IpWithPrefix.parse(text) for text in texts)


class PrefixLength(int):
    """The length of a network's prefix: ``24``, or the mask ``255.255.255.0``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> PrefixLength:
        """Return the length, at most 128."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 128:
            return cls(value)
        text = _text(value)
        if re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) and int(text) <= 128:
            return cls(text)
        try:
            mask = int(ipaddress.IPv4Address(text))
        except ValueError:
            mask = 1
        length = mask.bit_count()
        if mask != 0xFFFFFFFF << 32 - length & 0xFFFFFFFF:
            raise InvalidValue("must be the length of a prefix, as 24 or 255.255.255.0")
        return cls(length)

    def written(self) -> int:
        """Return it as it is stored."""
        return int(self)

    @property
    def mask(self) -> str:
        """The mask of an IPv4 network, as ``255.255.255.0``."""
        return str(ipaddress.IPv4Address(0xFFFFFFFF << 32 - self & 0xFFFFFFFF))


class Network(str):
    """A network, ``10.0.0.0/24`` or ``fd00::/64``; ``default`` for all addresses."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Network:
        """Return the network in its usual form; bits behind the prefix must be zero."""
        text = _text(value)
        try:
            return cls(text if text == "default" else ipaddress.ip_network(text).with_prefixlen)
        except ValueError:
            raise InvalidValue(
                "must be a network, as 10.0.0.0/24 (no bits behind the prefix), or default"
            ) from None

    @property
    def version(self) -> int:
        """4 or 6; 0 for ``default``."""
        return 0 if self == "default" else 6 if ":" in self else 4


class Table(str):
    """A routing table: its number, or ``main``, ``local``, ``default``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Table:
        """Return the number or name as text."""
        number = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(number, str):
            if number in ("main", "local", "default"):
                return cls(number)
            if re.fullmatch(r"[1-9][0-9]{0,9}", number, re.ASCII) and int(number) < 1 << 32:
                return cls(number)
        raise InvalidValue("must be the number of a routing table, or main, local or default")


class Mac(str):
    """A MAC address of one interface, ``02:00:00:00:00:01``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Mac:
        """Return the address in lower case; groups and zeros are no addresses of interfaces."""
        text = _text(value).lower()
        if (
            not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text)
            or int(text[1], 16) & 1
            or not text.strip("0:")
        ):
            raise InvalidValue("must be the MAC address of one interface, as 02:00:00:00:00:01")
        return cls(text)


class Rate(float):
    """A data rate in bits per second: a number, or text as ``10mbit``, ``2.5Gbit``, ``10Mbps``.

    The units are powers of 1000. ``bps`` means bits per second here, unlike in tc(8).
    """

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Rate:
        """Return the rate in bits per second."""
        number = 0.0
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value)
        elif found := re.fullmatch(
            r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:bit|bps|bit/s|b/s)", _text(value).lower(), re.ASCII
        ):
            number = float(found[1]) * 1000 ** " kmgt".index(found[2] or " ")
        if not 8 <= number < 1e15:
            raise InvalidValue("must be a data rate of at least 8 bit/s, as 10mbit")
        return cls(number)

    def written(self) -> float:
        """Return it as it is stored."""
        return float(self)

    @property
    def tc(self) -> str:
        """The text for rates of tc."""
        return f"{round(self)}bit"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
