"""Attributes: the typed, checked settings of a resource manager."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from enum import Flag as _Flag
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, overload

from ..errors import InvalidValue, NotAllowed
from ..errors.text import quoted
from .parameters import Parameter
from .values import Parsed

if TYPE_CHECKING:
    from .resource import ResourceManager

T = TypeVar("T")
V = TypeVar("V", bound="float | Parsed")

#: The default of a parsed kind, in the form that users write.
Written = str | int | float | list[Any] | dict[str, Any]

_MAX_DEPTH = 40
_MAX_BITS = 1024  # of a whole number; the range of a float


class Flag(_Flag):
    """Access rights of users to an attribute. Hooks may always read and write it."""

    NONE = 0
    #: Users may not read it.
    NO_READ = 1
    #: Users may not write it: the resource itself reports it.
    NO_WRITE = 2
    #: Users may write it only before the resource is deployed.
    DESIGN = 4
    #: Used to create the resource, so that it cannot change afterwards; like DESIGN.
    CONSTRUCT = 8
    #: A reference to a secret (a path, a variable, an agent), never the secret; implies DESIGN.
    CREDENTIAL = 16 | 4
    #: Restricts the choice of discovery; implies DESIGN.
    FILTER = 32 | 4
    #: Used by the runtime of the resource only; listings leave it out.
    RESERVED = 64
    #: One value for all resources of the type; written by ``set_global`` only.
    GLOBAL = 128
    #: A fact that decides about results, such as the version of a program: a campaign keeps it by
    #: host. The resource itself reports it, like NO_WRITE.
    FACT = 256 | 2


_BEFORE_DEPLOY = Flag.DESIGN | Flag.CONSTRUCT
_BUILTIN = {str: "text", int: "a whole number", float: "a number", bool: "True or False"}


class Attribute(Generic[T]):
    """A setting of a resource manager, declared in the body of its class.

    In a hook, ``self.name`` reads the value and ``self.name = value`` assigns it; clients see
    the assigned value when the step is committed. An attribute that is not set and has no
    default reads as ``""`` (text), False (truth values) or None.

    Attributes:
        name: the name in the class body.
        kind: the class of its values.
        default: the value if it is not set, in the form that users write.
        help: its meaning and unit.
        flags: access rights of users.
        allowed: the possible values, or None for all.
        range: least and greatest number, each of which may be None; or None.
        required: True if a deployment without it is refused.
        keeps_default: True if a given value that is the default is stored too.

    Example:
        ``delay = Attribute(Duration, "20ms", help="Delay added to each packet.")``
    """

    __slots__ = (
        "_parse",
        "allowed",
        "default",
        "flags",
        "help",
        "kind",
        "name",
        "range",
        "required",
    )

    keeps_default: ClassVar[bool] = False

    @overload
    def __init__(
        self: Attribute[bool],
        type: type[bool],
        default: bool | None = None,
        *,
        help: str,
        flags: Flag = Flag.NONE,
        required: bool = False,
    ) -> None: ...

    @overload
    def __init__(
        self: Attribute[V],
        type: type[V],
        default: Written,
        *,
        help: str,
        flags: Flag = Flag.NONE,
        allowed: Collection[Any] | None = None,
        range: tuple[float | None, float | None] | None = None,
        required: bool = False,
    ) -> None: ...

    @overload
    def __init__(
        self: Attribute[V],
        type: type[V],
        default: None = None,
        *,
        help: str,
        flags: Flag = Flag.NONE,
        allowed: Collection[Any] | None = None,
        range: tuple[float | None, float | None] | None = None,
        required: Literal[True],
    ) -> None: ...

    @overload
    def __init__(
        self: Attribute[V | None],
        type: type[V],
        default: None = None,
        *,
        help: str,
        flags: Flag = Flag.NONE,
        allowed: Collection[Any] | None = None,
        range: tuple[float | None, float | None] | None = None,
        required: Literal[False] = False,
    ) -> None: ...

    @overload
    def __init__(
        self: Attribute[str],
        type: type[str],
        default: str | None = None,
        *,
        help: str,
        flags: Flag = Flag.NONE,
        allowed: Collection[str] | None = None,
        required: bool = False,
    ) -> None: ...

    def __init__(
        self,
        type: type[Any],  # noqa: A002 - reads as the declaration it is
        default: Any = None,
        *,
        help: str,  # noqa: A002
        flags: Flag = Flag.NONE,
        allowed: Collection[Any] | None = None,
        range: tuple[float | None, float | None] | None = None,  # noqa: A002
        required: bool = False,
    ) -> None:
        """Declare an attribute; the class documents the arguments.

        Raises:
            TypeError: the type has no class method parse and is not a built-in kind.
            InvalidValue: the default is not a possible value.
        """
        parse: Callable[[Any], Any] | None = getattr(type, "parse", None)
        if parse is None and type not in _BUILTIN:
            raise TypeError(f"{type!r} is not a kind of attribute: it has no class method parse")
        self.name = ""
        self.kind = type
        self.help = help
        self.flags = flags
        self.allowed = None if allowed is None else tuple(allowed)
        self.range = range
        self.required = required
        self._parse = parse
        self.default = self.check(default)
        if default is None and parse is None and type in (str, bool):
            self.default = type()

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Attribute[T]: ...

    @overload
    def __get__(self, instance: ResourceManager, owner: type) -> T: ...

    def __get__(self, instance: ResourceManager | None, owner: type) -> Attribute[T] | T:
        if instance is None:
            return self
        value: T = self.parse(instance.stored(self.name))
        return value

    def __set__(self, instance: ResourceManager, value: T | None) -> None:
        instance.assign(self.name, self.check(value, type(instance).rtype))

    def parse(self, value: Any) -> Any:
        """Return the parsed form of a stored value, the default for None."""
        if value is None:
            value = self.default
        return value if self._parse is None or value is None else self._parse(value)

    def check(self, value: Any, rtype: str = "") -> Any:
        """Return ``value`` in the form that is stored, a JSON value.

        Args:
            value: the value from a user or a hook; None for "not set". A :class:`Parameter` is
                returned as it is, and its values are checked when it is replaced.
            rtype: the type of the resource, for the error.

        Raises:
            InvalidValue: it is not of the attribute's kind, or not allowed.
        """
        if value is None or isinstance(value, Parameter):
            return value
        try:
            stored, parsed = self._read(value)
            self._check_limits(stored, parsed)
        except InvalidValue as error:
            secret = Flag.CREDENTIAL in self.flags
            raise InvalidValue(
                f"{self.name or 'default'} cannot be {_display(value, secret=secret)}: "
                f"it {error.message}",
                where=rtype,
                hint=error.hint,
            ) from None
        return stored

    def _read(self, value: Any) -> tuple[Any, Any]:
        """Return the stored and the parsed form of a value."""
        kind = self.kind
        if self._parse is not None:
            stored = _plain(value)
            _check_json(stored)
            return stored, self._parse(stored)
        if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            number = _finite(value)
            return number, number
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            plain = kind(value)
            _check_json(plain)
            return plain, plain
        raise InvalidValue(f"must be {_BUILTIN[kind]}")

    def _check_limits(self, stored: Any, parsed: Any) -> None:
        if self.allowed is not None and stored not in self.allowed:
            raise InvalidValue("must be one of " + ", ".join(repr(item) for item in self.allowed))
        if self.range is None:
            return
        low, high = self.range
        if (low is not None and parsed < low) or (high is not None and parsed > high):
            raise InvalidValue(f"must be {_span(low, high)}")

    def check_readable(self, where: str) -> None:
        """Raise an error if users may not read the attribute.

        Raises:
            NotAllowed: the flags forbid it.
        """
        if Flag.NO_READ in self.flags:
            raise NotAllowed(f"attribute {quoted(self.name)} cannot be read", where=where)

    def check_writable(self, where: str, *, deployed: bool = False) -> None:
        """Raise an error if users may not write the attribute.

        Args:
            where: the resource, for the error.
            deployed: True once its deployment has begun.

        Raises:
            NotAllowed: the flags forbid it, always or after the deployment.
        """
        flags = self.flags
        if Flag.NO_WRITE in flags:
            raise NotAllowed(
                f"attribute {quoted(self.name)} cannot be set: the resource reports it", where=where
            )
        if Flag.GLOBAL in flags:
            raise NotAllowed(
                f"attribute {quoted(self.name)} is common to all resources of the type",
                where=where,
                hint="use set_global(rtype, name, value) before registering them",
            )
        if deployed and flags & _BEFORE_DEPLOY:
            raise NotAllowed(
                f"attribute {quoted(self.name)} can only be set before deployment",
                where=where,
                hint="set it earlier, or register another resource",
            )

    def __repr__(self) -> str:
        return f"<Attribute {self.name}: {self.kind.__name__}>"


def _finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidValue("must be finite")
    return number


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a copy that consists of JSON types only."""
    if depth > _MAX_DEPTH:
        raise InvalidValue(f"must not be nested deeper than {_MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if hasattr(value, "written"):
        return _plain(value.written(), depth + 1)
    raise InvalidValue("must be text, a number, a list or a mapping of these")


def _check_json(stored: Any) -> None:
    """Raise an error for a value that portable JSON in UTF-8 cannot hold.

    These are lone surrogates (from a file name that is not in UTF-8) and very large numbers.
    """
    if isinstance(stored, str):
        try:
            stored.encode()
        except UnicodeEncodeError:
            raise InvalidValue("must be text that UTF-8 can encode") from None
    elif isinstance(stored, int) and stored.bit_length() > _MAX_BITS:
        raise InvalidValue("must be a smaller number")
    elif isinstance(stored, dict):
        for key, item in stored.items():
            _check_json(key)
            _check_json(item)
    elif isinstance(stored, list):
        for item in stored:
            _check_json(item)


def _span(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"from {low} to {high}"


def _display(value: object, *, secret: bool) -> str:
    return "the value given" if secret else quoted(value)
