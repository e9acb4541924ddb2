r"""Escaping and truncation of untrusted text for output.

Parts of error messages, tables and logs come from hosts, files and other clients of Redis.
Control characters in them could move the cursor, rename the window or begin a line that looks
like one of nepiq; bidirectional control characters could display other words than there are.
They are escaped, e.g. as ``\x1b``. docs/security.md lists the places.
"""

from __future__ import annotations

import re
import reprlib
from typing import Any

#: Maximum length of a value quoted in a message, in characters.
LONGEST_VALUE = 100
#: Maximum length of a line of a host's output quoted in a message.
LONGEST_LINE = 200
#: Maximum length of an error message.
LONGEST_MESSAGE = 2000

# C0, DEL and C1; the marks, embeddings, overrides and isolates of bidirectional text; the
# separators of lines and paragraphs; and lone surrogates, which cannot be encoded.
# Zero-width joiners stay: some scripts and emoji need them, and they do not hide anything.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE = re.compile(f"[{_CONTROL}]")
_UNSAFE_IN_LINE = re.compile(f"[\n{_CONTROL}]")
_NAMES = {"\n": r"\n", "\r": r"\r"}


def escaped(text: str) -> str:
    """Return text with escaped control characters; newlines and tabs stay."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)


def one_line(text: str, most: int | None = None) -> str:
    r"""Return text on one line, with escaped control characters and newlines.

    Args:
        text: the text.
        most: maximum length in characters; longer text is truncated.
    """
    if most is not None:
        text = text[: most + 1]
    if not (text.isascii() and text.isprintable()):
        text = _UNSAFE_IN_LINE.sub(_escape, text)
    return text if most is None or len(text) <= most else text[: most - 3] + "..."


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _NAMES.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def escaped_in_json(text: str) -> str:
    """Return a JSON document with escaped control characters and the same data."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def quoted(value: object) -> str:
    """Return the repr of a value for a message, escaped and truncated."""
    return one_line(_SHORT.repr(value), LONGEST_VALUE)


class _Short(reprlib.Repr):
    """A repr of values of any type that builds only their beginning."""

    def __init__(self) -> None:
        super().__init__()
        # No more than fits into the message, to save time.
        self.maxlevel, self.maxother = 4, LONGEST_VALUE
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 20

    def repr_str(self, value: str, level: int) -> str:
        return repr(value[: LONGEST_VALUE + 1])

    def repr_bytes(self, value: bytes, level: int) -> str:
        return repr(value[: LONGEST_VALUE + 1])

    def repr_int(self, value: int, level: int) -> str:
        # Python refuses to convert very long numbers to decimal, and is slow for long ones.
        return repr(value) if value.bit_length() < 4 * LONGEST_VALUE else f"{hex(value)[:99]}..."

    def repr_dict(self, value: dict[Any, Any], level: int) -> str:
        if level <= 0:
            return "{...}"
        items = []
        for number, (key, item) in enumerate(value.items()):
            if number == self.maxdict:
                items.append("...")
                break
            items.append(f"{self.repr1(key, level - 1)}: {self.repr1(item, level - 1)}")
        return "{" + ", ".join(items) + "}"


_SHORT = _Short()


def last_lines(text: str, count: int = 3) -> str:
    """Return the last lines of a program's output on one line; of a long line its end."""
    lines = re.split(r"[\r\n]+", text[-count * 10 * LONGEST_LINE :].strip())
    return " | ".join(_end(line.rstrip()) for line in lines[-count:])


def _end(line: str) -> str:
    text = one_line(line[-LONGEST_LINE:])
    if len(line) <= LONGEST_LINE and len(text) <= LONGEST_LINE:
        return text
    return "..." + text[3 - LONGEST_LINE :]


def is_decimal(text: str) -> bool:
    """Return whether text is a decimal number in ASCII that is short enough for ``int``."""
    return len(text) <= LONGEST_VALUE and text.isascii() and text.isdecimal()
