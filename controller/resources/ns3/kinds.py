"""Values of ns-3 attributes, checked before they reach ns-3.

ns-3 ends the process at a malformed value, so the forms are checked where the value is given. They
are those of the attribute system of ns-3 (manual, "Configuration and Attributes").
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NamedTuple

from ...errors import InvalidValue
from ...model import Attribute, Flag
from .typeids import AttributeInfo

_NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
_IPV4 = r"(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}"


class _Text(str):
    """Text in one of the forms of ns-3.

    Attributes:
        pattern: the regular expression that the whole text has to match.
        form: what the value must be, with an example, for errors.
    """

    __slots__ = ()
    pattern = re.compile("")
    form = "text"

    @classmethod
    def parse(cls, value: Any) -> _Text:
        """Return the text that ns-3 reads."""
        text = cls.spelled(value)
        if text is None or not cls.pattern.fullmatch(text):
            raise InvalidValue(f"must be {cls.form}")
        return cls(text)

    @classmethod
    def spelled(cls, value: Any) -> str | None:
        """Return the value as text; None if it cannot be."""
        return value if isinstance(value, str) else None


class Time(_Text):
    """A time, ``"20ms"``; a number means seconds."""

    __slots__ = ()
    pattern = re.compile(_NUMBER + "(y|d|h|min|s|ms|us|ns|ps|fs)?", re.ASCII)
    form = 'a time, as "20ms", or a number of seconds'

    @classmethod
    def spelled(cls, value: Any) -> str | None:
        """Return a number with the unit s, and text as it is."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return f"{value}s"
        return super().spelled(value)


class DataRate(_Text):
    """A data rate, ``"5Mbps"``."""

    __slots__ = ()
    pattern = re.compile(r"\d+(\.\d+)?\s*([kKMGmg]i?)?(bps|b/s|Bps|B/s)", re.ASCII)
    form = 'a data rate, as "5Mbps", "54Mb/s" or "1000bps"'


class QueueSize(_Text):
    """The size of a queue, ``"100p"`` or ``"15000B"``."""

    __slots__ = ()
    pattern = re.compile(r"\d+(\.\d+)?\s*([kKMG]i?)?[pB]", re.ASCII)
    form = 'a size in packets or bytes, as "100p" or "15000B"'


class Vector(_Text):
    """A position or velocity, ``"x:y:z"`` in metres, or a list of three numbers."""

    __slots__ = ()
    pattern = re.compile(":".join([_NUMBER] * 3), re.ASCII)
    form = '"x:y:z" or a list of three numbers'

    @classmethod
    def spelled(cls, value: Any) -> str | None:
        """Return ``x:y:z``; z may be left out."""
        if isinstance(value, (list, tuple)) and len(value) in (2, 3):
            return ":".join(str(item) for item in (*value, 0)[:3])
        if isinstance(value, str) and value.count(":") == 1:
            return f"{value}:0"
        return super().spelled(value)


class Rectangle(_Text):
    """Bounds of an area, ``"xMin|xMax|yMin|yMax"`` in metres."""

    __slots__ = ()
    pattern = re.compile(r"\|".join([_NUMBER] * 4), re.ASCII)
    form = '"xMin|xMax|yMin|yMax"'


class Box(_Text):
    """Bounds of a space, ``"xMin|xMax|yMin|yMax|zMin|zMax"`` in metres."""

    __slots__ = ()
    pattern = re.compile(r"\|".join([_NUMBER] * 6), re.ASCII)
    form = '"xMin|xMax|yMin|yMax|zMin|zMax"'


class Ipv4(_Text):
    """An IPv4 address or mask."""

    __slots__ = ()
    pattern = re.compile(_IPV4, re.ASCII)
    form = 'an IPv4 address, as "10.0.0.1"'


class Mac(_Text):
    """A MAC address."""

    __slots__ = ()
    pattern = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", re.ASCII)
    form = 'a MAC address, as "00:00:00:00:00:01"'


class SocketAddress(_Text):
    """An address, with or without a port: ``"10.0.0.1:9"``, ``"[2001:db8::1]:9"``."""

    __slots__ = ()
    pattern = re.compile(
        rf"|{_IPV4}(:\d{{1,5}})?|\[[0-9a-fA-F:.]+\]:\d{{1,5}}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*",
        re.ASCII,
    )
    form = 'an address, as "10.0.0.1:9", "10.0.0.1" or "[2001:db8::1]:9"'


class TypeName(_Text):
    """The name of a type of ns-3, ``"ns3::TcpNewReno"``."""

    __slots__ = ()
    pattern = re.compile(r"ns3(::[A-Za-z_]\w*)+(<\w+>)?", re.ASCII)
    form = 'the name of a type of ns-3, as "ns3::TcpCubic"'


class Constructed(_Text):
    """An object made for the attribute: ``"ns3::UniformRandomVariable[Min=0|Max=1]"``."""

    __slots__ = ()
    pattern = re.compile(r"ns3(::[A-Za-z_]\w*)+(<\w+>)?(\[[^\n]*\])?", re.ASCII)
    form = 'a type with attributes, as "ns3::UniformRandomVariable[Min=0|Max=1]"'


class Anything(_Text):
    """Text that is checked by ns-3 itself, when the simulation is deployed."""

    __slots__ = ()
    pattern = re.compile(r"[^\0]*")

    @classmethod
    def spelled(cls, value: Any) -> str | None:
        """Return text as it is, and numbers as text."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        return super().spelled(value)


_KINDS: dict[str, type[Any]] = {
    "AddressValue": SocketAddress,
    "BooleanValue": bool,
    "BoxValue": Box,
    "DataRateValue": DataRate,
    "DoubleValue": float,
    "IntegerValue": int,
    "Ipv4AddressValue": Ipv4,
    "Ipv4MaskValue": Ipv4,
    "Mac48AddressValue": Mac,
    "PointerValue": Constructed,
    "QueueSizeValue": QueueSize,
    "RectangleValue": Rectangle,
    "StringValue": str,
    "TimeValue": Time,
    "TypeIdValue": TypeName,
    "UintegerValue": int,
    "Vector3DValue": Vector,
}
# Of no use in a description.
_OPAQUE = ("CallbackValue", "ObjectPtrContainerValue", "ObjectMapValue", "ObjectVectorValue")

_LARGEST = 1.7e308


class Ns3Attribute(Attribute[Any]):
    """An attribute of ns-3.

    A value that is the default is stored too: ``defaults`` of the simulation may have another one,
    and for some attributes it matters that they are set at all.
    """

    __slots__ = ()
    keeps_default = True


class _Form(NamedTuple):
    """The declaration of an attribute: the kind, possible values, and least and greatest number."""

    kind: type[Any]
    allowed: Collection[str] | None = None
    range: tuple[float | None, float | None] | None = None


def attribute(info: AttributeInfo) -> Attribute[Any] | None:
    """Return the declaration of an attribute of ns-3; None if users cannot give it a value."""
    name = info.kind.removeprefix("ns3::")
    if name in _OPAQUE:
        return None
    form = _form(name, info.values)
    text = info.help.strip() or "No description in ns-3."
    default = info.default if name == "StringValue" else _default(form, info.default)
    if info.default and default is None:
        text += f" By default {info.default}."
    kind: Any = form.kind
    return Ns3Attribute(
        kind, default, help=text, flags=_flags(info), allowed=form.allowed, range=form.range
    )


def _form(name: str, values: str) -> _Form:
    if name.startswith("EnumValue") and values:
        return _Form(str, tuple(values.split("|")))
    kind = _KINDS.get(name, Anything)
    if kind in (int, float):
        return _Form(kind, range=_range(values))
    return _Form(kind)


def _range(values: str) -> tuple[float | None, float | None] | None:
    """Return the range in text such as ``uint32_t 0:4294967295``."""
    low, colon, high = values.rpartition(" ")[2].partition(":")
    try:
        least, most = float(low), float(high)
    except ValueError:
        return None
    if not colon or least > most:
        return None
    exact = values.partition(" ")[0] != "double"
    return (
        None if least < -_LARGEST else int(low) if exact else least,
        None if most > _LARGEST else int(high) if exact else most,
    )


def _default(form: _Form, text: str) -> Any:
    """Return the default that ns-3 writes, in the form that users write; None if there is none."""
    try:
        value = _read(form.kind, text)
        if form.allowed is not None and value not in form.allowed:
            return None
        if form.kind not in _PLAIN:
            form.kind.parse(value)
    except (ValueError, InvalidValue):
        return None
    low, high = form.range or (None, None)
    inside = (low is None or value >= low) and (high is None or value <= high)
    return value if value != "" and inside else None


_PLAIN = (bool, int, float, str)


def _read(kind: type[Any], text: str) -> Any:
    """Return text of ns-3 as a value of a kind."""
    if kind is bool:
        return text == "true"
    return kind(text) if kind in (int, float) else text


def from_text(attribute: Attribute[Any], text: str) -> Any:
    """Return what ns-3 writes for a value of an attribute, in the form that is stored."""
    return _read(attribute.kind, text)


def _flags(info: AttributeInfo) -> Flag:
    if info.settable:
        return Flag.NONE
    return Flag.CONSTRUCT if info.constructs else Flag.NO_WRITE
