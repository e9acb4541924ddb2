r"""Text of others, made fit to be shown: harmless, on one line, of bounded length.

Hosts, files and whoever writes to Redis choose what is in an error message, a table or a log.
Control characters in it could move the cursor, rename the window or begin a line that looks like
one of ours; characters that turn the direction of writing could show other words than there are.
Such characters are shown as text, ``\x1b``. docs/security.md says where this is done.
"""

from __future__ import annotations

import re
import reprlib
from typing import Any

#: Longest value that a message quotes, in characters.
LONGEST_VALUE = 100
#: Longest line of a host's output that a message quotes.
LONGEST_LINE = 200
#: Longest message of an error.
LONGEST_MESSAGE = 2000

# C0, DEL and C1; the marks, embeddings, overrides and isolates of bidirectional text; the
# separators of lines and paragraphs; and halves of surrogate pairs, which no stream can write.
# Zero-width joiners stay: scripts and emoji are written with them, and they only look different.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE = re.compile(f"[{_CONTROL}]")
_UNSAFE_IN_LINE = re.compile(f"[\n{_CONTROL}]")
_NAMES = {"\n": r"\n", "\r": r"\r"}


def harmless(text: str) -> str:
    """Text whose control characters are shown as text; ends of lines and tabs stay."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_shown, text)


def one_line(text: str, most: int | None = None) -> str:
    r"""Harmless text on one line: an end of a line is shown as ``\n``.

    Args:
        text: the text.
        most: its greatest length in characters; what is longer is cut.
    """
    if most is not None:
        text = text[: most + 1]
    if not (text.isascii() and text.isprintable()):
        text = _UNSAFE_IN_LINE.sub(_shown, text)
    return text if most is None or len(text) <= most else text[: most - 3] + "..."


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return _NAMES.get(found[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def escaped_in_json(text: str) -> str:
    """A JSON document whose control characters are escaped: harmless, and the same data."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def quoted(value: object) -> str:
    """A value as Python writes it, for a message: harmless, and cut if it is long."""
    return one_line(_SHORT.repr(value), LONGEST_VALUE)


class _Short(reprlib.Repr):
    """Writes the beginning of a value, whatever it is."""

    def __init__(self) -> None:
        super().__init__()
        # As much as may fit into the message: what is written and cut off again takes time.
        self.maxlevel, self.maxother = 4, LONGEST_VALUE
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 20

    def repr_str(self, value: str, level: int) -> str:
        return repr(value[: LONGEST_VALUE + 1])

    def repr_bytes(self, value: bytes, level: int) -> str:
        return repr(value[: LONGEST_VALUE + 1])

    def repr_int(self, value: int, level: int) -> str:
        # Python refuses to write very long numbers in decimal, and would take long for others.
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
    """The last lines of a program's output, on one line; of a long one its end."""
    lines = re.split(r"[\r\n]+", text[-count * 10 * LONGEST_LINE :].strip())
    return " | ".join(_end(line.rstrip()) for line in lines[-count:])


def _end(line: str) -> str:
    text = one_line(line[-LONGEST_LINE:])
    if len(line) <= LONGEST_LINE and len(text) <= LONGEST_LINE:
        return text
    return "..." + text[3 - LONGEST_LINE :]


def is_decimal(text: str) -> bool:
    """True if text is a decimal number of ASCII digits that ``int`` reads in no time."""
    return len(text) <= LONGEST_VALUE and text.isascii() and text.isdecimal()
