"""Texts for the shell of a host, quoted by construction."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote

from ...controller.errors import InvalidValue
from ...controller.errors.text import quoted
from ...controller.model.host import Life
from ...controller.model.values import RESTARTS, STOP_SIGNALS

#: Linux takes 128 kB in one argument of a program (execve(2), MAX_ARG_STRLEN); this leaves room
#: for what is put around a quoted command.
ARGUMENT_LIMIT = 100_000

#: Bytes that a shell may read one by one.
_SHORT = 2000

#: What stands for a newline in a command that has to fit in a line.
_FOLD = b"\1"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def checked(command: str) -> str:
    """Return a command unchanged, if a shell can be given it at all.

    Raises:
        InvalidValue: it holds a NUL character, which no argument and no script can.
    """
    if "\0" in command:
        raise InvalidValue("a command cannot hold a NUL character")
    return command


def exports(env: Mapping[str, str] | None) -> str:
    """Return a line of shell that sets variables; empty for none.

    Raises:
        InvalidValue: a name that is no name of a variable (POSIX 3.231), or a NUL character.
    """
    for name in env or {}:
        if not _NAME.fullmatch(name):
            raise InvalidValue(f"{quoted(name)} cannot name an environment variable")
    words = [f"{name}={quote(checked(value))}" for name, value in (env or {}).items()]
    return f"export {' '.join(words)}\n" if words else ""


def life_word(life: Life) -> str:
    """Return a life as the supervisor reads it; empty for the usual one.

    Raises:
        InvalidValue: the signal or the kind of restart is unknown.
    """
    if life.is_usual:
        return ""
    if life.stop_signal not in STOP_SIGNALS:
        raise InvalidValue(f"{quoted(life.stop_signal)} is not a signal that ends a process")
    if life.restart not in RESTARTS:
        raise InvalidValue(f"restart {quoted(life.restart)} is not one of {', '.join(RESTARTS)}")
    timeout, grace, pause = (round(time * 100) for time in (life.timeout, life.grace, life.pause))
    limit = max(1, timeout) if life.timeout else 0
    return f"{limit}:{life.stop_signal}:{grace}:{life.restart}:{life.restarts}:{pause}"


def is_plain(life: str) -> bool:
    """Return whether nothing but a stop ends a life, written as a word, and nothing restarts it."""
    limit, _, _, restart, *_ = life.split(":") if life else ("0", "", "", "no")
    return limit == "0" and restart == "no"


def carried(command: str, stdin: bytes) -> tuple[str, bytes]:
    """Return a command and its input as a pair that fits the limit for arguments.

    A long command travels before its input and is run from a file that has no name any more.
    """
    script = command.encode("utf-8", "surrogateescape")
    if len(script) + len(quote(command)) - len(command) <= ARGUMENT_LIMIT:
        return command, stdin
    size = len(script)
    return (
        f'file=$(mktemp) && head -c {size} >"$file" && exec 3<"$file" && '
        f'size=$(wc -c <"$file") && rm -f "$file" && [ "$size" -eq {size} ] && '
        "exec sh /proc/self/fd/3"
    ), script + stdin


@dataclass(frozen=True)
class Readiness:
    """The condition under which a process counts as STARTED, as the supervisor tests it.

    Attributes:
        kind: ``none``, ``port``, ``output`` or ``file``.
        sign: the port as /proc/net/tcp writes it, the regular expression, or the path.
        text: as it was written.
    """

    kind: str
    sign: str
    text: str

    @classmethod
    def parse(cls, text: str) -> Readiness:
        """Read ``port:N``, ``output:REGEX``, ``file:PATH`` or an empty text.

        Raises:
            InvalidValue: it is none of these.
        """
        if not text:
            return cls("none", "-", text)
        kind, _, sign = text.partition(":")
        if kind == "port" and sign.isdecimal() and 0 < int(sign) < 65536:
            return cls(kind, f"{int(sign):04X}", text)
        if kind in {"output", "file"} and sign and "\n" not in checked(sign):
            return cls(kind, sign, text)
        raise InvalidValue(
            f"startedWhen {quoted(text)}", hint="write port:N, output:REGEX or file:PATH"
        )


@dataclass(frozen=True)
class Envelope:
    """A command on its way to a launch: by standard input, whole or not at all.

    Attributes:
        data: the bytes to send.
        mark: what they end in, which the command cannot hold by accident; led by ``%`` if
            newlines of the command are folded.
        ahead: files of the run directory that have to be written first, since a shell is slow
            to read much.
        lines: True if it is three lines, so that something can follow.
    """

    data: bytes
    mark: str
    ahead: Mapping[str, bytes]
    lines: bool

    @classmethod
    def of(cls, command: str, stdin: bytes | None, env: Mapping[str, str] | None) -> Envelope:
        """Put a command, its input and its environment into one.

        Raises:
            InvalidValue: what no shell can be given.
        """
        setting = exports(env).encode("utf-8", "surrogateescape")
        contents = {".stdin": stdin, ".env": setting or None}
        ahead = {name: data for name, data in contents.items() if data and len(data) > _SHORT}
        head = [
            b"-" if data is None or name in ahead else base64.b64encode(data)
            for name, data in contents.items()
        ]
        text = checked(command).encode("utf-8", "surrogateescape")
        mark = secrets.token_hex(8)
        lines = len(text) <= _SHORT and _FOLD not in text
        if lines and b"\n" in text:
            text, mark = text.replace(b"\n", _FOLD), f"%{mark}"
        else:
            mark = f"#{mark}"
        if not lines:
            head.append(b"")
        return cls(b"\n".join([*head, text + mark.encode() + b"\n"]), mark, ahead, lines)
