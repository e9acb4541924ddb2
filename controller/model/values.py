"""Kinds of attribute values beyond text, numbers and truth values.

Such a kind is a class with a class method ``parse``. An attribute of that kind stores the
user's value as JSON; hooks read the parsed form. Resource packages may add their own kinds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from ..errors import InvalidValue
from ..errors.text import LONGEST_VALUE, is_decimal, one_line, quoted
from .durations import seconds
from .names import check_name

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@runtime_checkable
class Parsed(Protocol):
    """A kind of value that is stored in the user's form and parsed when a hook reads it.

    If hooks assign such values, and they are not text, numbers, lists or mappings, the kind also
    needs a method ``written`` that returns the JSON value to store.
    """

    @classmethod
    def parse(cls, value: Any) -> Any:
        """Return the parsed form of a JSON value.

        Raises:
            InvalidValue: it is not of this kind; the message reads "must be ...".
        """


class Duration(float):
    """A time span: seconds as a number, written by users as ``"30s"`` or ``"2m30s"``."""

    @classmethod
    def parse(cls, value: Any) -> Duration:
        """Read a duration as :func:`~nepiq.controller.model.durations.seconds` does."""
        try:
            return cls(seconds(value))
        except InvalidValue as error:
            raise InvalidValue("must be a duration", hint=error.hint) from None


class Name(str):
    """A name that is safe in paths and commands: letters, digits, dots, underscores, dashes."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Name:
        """Return a safe name."""
        try:
            return cls(check_name("a name", value))
        except InvalidValue as error:
            raise InvalidValue("must be a plain name", hint=error.hint) from None


class AbsolutePath(str):
    """An absolute path of a file or directory."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> AbsolutePath:
        """Return a path that begins with a slash."""
        if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
            raise InvalidValue("must be an absolute path")
        return cls(value)


class RelativePath(str):
    """A path that stays below a directory."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> RelativePath:
        """Return a path that is not absolute and does not contain ``..``."""
        if (
            not isinstance(value, str)
            or value.startswith("/")
            or ".." in value.split("/")
            or "\0" in value
        ):
            raise InvalidValue("must be a relative path without ..")
        return cls(value)


class SecretReference(str):
    """A reference to a secret on the worker machine: ``env:NAME`` or ``file:PATH``.

    ``env:NAME`` is a variable in the environment of the worker, ``file:PATH`` the first line of a
    file that the worker may read, by its absolute path. The secret itself is never stored.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> SecretReference:
        """Return a reference in one of the two forms."""
        form, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
        valid = {
            "env": _VARIABLE.fullmatch(rest) is not None,
            "file": rest.startswith("/") and "\0" not in rest,
        }
        if not valid.get(form):
            raise InvalidValue(
                "must be env:NAME or file:PATH with an absolute path",
                hint="name the place on the worker machine that holds the secret, never the secret",
            )
        return cls(value)


#: Signals that a program may take as a request to end (signal(7)).
STOP_SIGNALS = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "WINCH", "KILL")

#: When a supervised process is started again.
RESTARTS = ("no", "on-failure", "always")


class StopSignal(str):
    """The signal that requests the end of a program, as ``INT`` or ``SIGINT``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> StopSignal:
        """Return the name of a signal without ``SIG``."""
        name = value.upper().removeprefix("SIG") if isinstance(value, str) else ""
        if name not in STOP_SIGNALS:
            raise InvalidValue("must be a signal: " + ", ".join(STOP_SIGNALS))
        return cls(name)


class ExitCodes:
    """The exit codes of a process that count as success.

    Users write ``0``, ``"0,3"``, ``[0, 3]`` or ``"any"``.

    Attributes:
        codes: the codes, sorted; None for any code.
    """

    __slots__ = ("codes",)

    def __init__(self, codes: Iterable[int] | None) -> None:
        self.codes = None if codes is None else tuple(sorted(set(codes)))

    def __contains__(self, code: object) -> bool:
        """Return whether this code counts as success."""
        return self.codes is None or code in self.codes

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same codes."""
        return isinstance(other, ExitCodes) and other.codes == self.codes

    def __hash__(self) -> int:
        """Return the hash of the codes."""
        return hash(self.codes)

    def __repr__(self) -> str:
        """Return a text with the codes."""
        return "ExitCodes(any)" if self.codes is None else f"ExitCodes{self.codes}"

    def written(self) -> str | list[int]:
        """Return the codes in the form that users write."""
        return "any" if self.codes is None else list(self.codes)

    @classmethod
    def parse(cls, value: Any) -> ExitCodes:
        """Return the codes in a number, text or a list."""
        if value == "any":
            return cls(None)
        items = value.split(",") if isinstance(value, str) else value
        codes = [_exit_code(item) for item in (items if isinstance(items, list) else [items])]
        if not codes or None in codes:
            raise InvalidValue('must be exit codes from 0 to 255, as 0, "0,3" or [0, 3], or "any"')
        return cls(code for code in codes if code is not None)


def _exit_code(item: object) -> int | None:
    if isinstance(item, str) and is_decimal(item.strip()):
        item = int(item)
    if isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= 255:
        return item
    return None


class Environment(dict[str, str]):
    """Environment variables; users write ``"A=1 B='two words'"`` or ``{"A": "1"}``."""

    @classmethod
    def parse(cls, value: Any) -> Environment:
        """Return the variables in a mapping, or in text split like a POSIX shell does."""
        pairs = list(value.items()) if isinstance(value, Mapping) else _assignments(value)
        for name, text in pairs:
            if not isinstance(name, str) or _VARIABLE.fullmatch(name) is None:
                raise InvalidValue(f"must have variable names like PATH_2, not {quoted(name)}")
            label = one_line(name, LONGEST_VALUE)
            if isinstance(text, bool) or not isinstance(text, (str, int, float)):
                raise InvalidValue(f"must set {label} to text or a number, not {quoted(text)}")
            if "\0" in str(text):
                raise InvalidValue(f"must not have a NUL character in {label}")
        return cls((name, str(text)) for name, text in pairs)


def _assignments(value: object) -> list[tuple[str, str]]:
    problem = "must be variables, as \"A=1 B='two words'\" or a mapping"
    if not isinstance(value, str):
        raise InvalidValue(problem)
    try:
        words = shell_words(value)
    except ValueError as error:
        raise InvalidValue(problem, hint=str(error)) from None
    split = [word.partition("=") for word in words]
    if not all(equals for _, equals, _ in split):
        raise InvalidValue(problem)
    return [(name, text) for name, _, text in split]


_WORD_PART = re.compile(
    r"""
    (?P<blank>[ \t\r\n]+)
    | (?P<plain>[^ \t\r\n'"\\]+)
    | '(?P<single>[^']*)'
    | "(?P<double>[^"\\]*(?:\\.[^"\\]*)*)"
    | \\(?P<escaped>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_DOUBLE = re.compile(r'\\(["\\])')


def shell_words(text: str) -> list[str]:
    """Split text into words like ``shlex.split``, but in linear time.

    Raises:
        ValueError: a quotation is not closed, or the text ends with a backslash.
    """
    words: list[str] = []
    parts: list[str] | None = None
    at = 0
    while at < len(text):
        match = _WORD_PART.match(text, at)
        if match is None:
            escaped = text[at] == "\\"
            raise ValueError("No escaped character" if escaped else "No closing quotation")
        at = match.end()
        kind, part = match.lastgroup, match[match.lastgroup or 0]
        if kind == "blank":
            if parts is not None:
                words.append("".join(parts))
            parts = None
        else:
            parts = [] if parts is None else parts
            parts.append(_IN_DOUBLE.sub(r"\1", part) if kind == "double" else part)
    if parts is not None:
        words.append("".join(parts))
    return words


class Readiness(str):
    """A readiness probe: ``port:N``, ``output:REGEX``, ``file:PATH`` or empty.

    ``port:N`` waits until a process listens on TCP port N, ``output:REGEX`` until a line of
    stdout or stderr matches the POSIX extended regular expression, ``file:PATH`` until the file
    exists (relative to the run directory). Empty: a process is ready as soon as it runs.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Readiness:
        """Return a probe in one of the three forms, or empty text."""
        if value == "":
            return cls()
        form, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
        valid = {
            "port": is_decimal(rest) and 0 < int(rest) < 65536,
            "output": rest != "" and "\n" not in rest,
            "file": rest != "" and "\n" not in rest,
        }
        if not valid.get(form):
            raise InvalidValue('must be "port:N", "output:REGEX" or "file:PATH"')
        return cls(value)
