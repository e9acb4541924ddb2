"""Options: the attributes that become arguments of a program."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Collection
from typing import Any

from ....errors import InvalidValue
from ....model import Attribute, Flag, Name


class Words(tuple[str, ...]):
    """Arguments, as text that is split like a shell does, or as a list."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Words:
        """Return arguments; nothing in them is expanded."""
        words = value
        if isinstance(value, str):
            try:
                words = shlex.split(value)
            except ValueError as error:
                raise InvalidValue(f"must be words as in a shell ({error})") from None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InvalidValue('must be words, as "-x 3" or ["-x", "3"]')
        return cls(words)


class Items(tuple[str, ...]):
    """Values of an option that may be given several times: one text, or a list of texts."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Items:
        """Return texts."""
        items = [value] if isinstance(value, str) and value else value or []
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise InvalidValue("must be a text, or a list of texts")
        return cls(items)


class Target(str):
    """The name or address of a machine, of which no option can be made."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Target:
        """Return a name or address."""
        text = value if isinstance(value, str) else ""
        if text.startswith("-") or any(c.isspace() or not c.isprintable() for c in text):
            raise InvalidValue("must be the name or address of a machine")
        return cls(text)


class Option(Attribute[Any]):
    """An option of a program, declared in the body of a :class:`Tool`.

    A true value of a ``bool`` gives the switch alone, any other value the switch and the value, a
    list the switch and a value each. An option that is not set gives nothing. Options are set
    before the deployment, and keep the order of their declaration.

    Attributes:
        switch: the switch, such as ``-c`` or ``--count``; empty for the value alone.
        joint: text between the switch and its value: ``"="``, or ``""`` for ``-n5``; None for two
            arguments.

    Example:
        ``count = Option(int, "-c", help="Packets to send.", range=(1, None))``
    """

    __slots__ = ("joint", "switch")

    def __init__(
        self,
        type: type[Any],  # noqa: A002 - reads as the declaration it is
        switch: str,
        default: Any = None,
        *,
        help: str,  # noqa: A002
        joint: str | None = None,
        allowed: Collection[Any] | None = None,
        range: tuple[float | None, float | None] | None = None,  # noqa: A002
        required: bool = False,
    ) -> None:
        super().__init__(
            type,
            default,
            help=help,
            flags=Flag.DESIGN,
            allowed=allowed,
            range=range,
            required=required,
        )
        self.switch = switch
        self.joint = joint

    def check(self, value: Any, rtype: str = "") -> Any:
        """Return the stored form; a number may be given as text, as NEPI's scripts do."""
        if isinstance(value, str) and self.kind in (int, float):
            with contextlib.suppress(ValueError):
                value = self.kind(value)
        return super().check(value, rtype)

    def words(self, value: Any) -> list[str]:
        """Return the arguments that a value gives, none for a value that is not set."""
        if value is None or value is False or value in ("", ()):
            return []
        if value is True:
            return [self.switch]
        if isinstance(value, tuple):
            return [word for item in value for word in self.words(item)]
        text = f"{value:.12g}" if isinstance(value, float) else str(value)
        if not self.switch:
            return [text]
        return [self.switch, text] if self.joint is None else [f"{self.switch}{self.joint}{text}"]


class Program(Attribute[Words]):
    """The program of a tool, as words; users may name another one, such as ``busybox ping``.

    Attributes:
        package: the package of Debian that has it, which is installed where it is missing.
        version: the option with which it prints its version; empty if there is none.

    Example:
        ``program = Program("ping", package="iputils-ping", version="-V")``
    """

    __slots__ = ("package", "version")

    def __init__(self, name: str, *, package: str, version: str = "") -> None:
        super().__init__(
            Words,
            name,
            help=f"The program that is run, such as a build of your own (package {package}).",
            flags=Flag.DESIGN,
        )
        self.package = Name.parse(package)
        self.version = version

    def check(self, value: Any, rtype: str = "") -> Any:
        """Return the stored form of a program, which has at least one word."""
        if value in ("", []):
            raise InvalidValue(f"{self.name} cannot be empty", where=rtype)
        return super().check(value, rtype)
