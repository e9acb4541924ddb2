"""Reader of JSON with positions, and writer."""

from __future__ import annotations

import json
import re
from typing import Any

from ...errors import DescriptionError, InvalidValue
from ...errors.text import quoted
from .positions import Findings, Mark, Path
from .yaml_format import MAX_DEPTH, Broken, position_of

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_LONGEST_INT = 4000  # characters, as in YAML; Python's own limit is slightly higher


class _TooLong(ValueError):
    """A whole number has too many digits."""


def parse(text: str, findings: Findings) -> Any:
    """Parse a text into plain data, and record all positions.

    Args:
        text: the JSON.
        findings: collects duplicate keys; its positions are filled.

    Raises:
        Broken: the JSON is invalid, nested too deeply, or has too long a number.
    """
    positions = _PositionReader(text, findings)
    try:
        data = json.loads(text, object_pairs_hook=_first_ones, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        problem = DescriptionError(f"invalid JSON: {error.msg[:1].lower()}{error.msg[1:]}")
        raise Broken(problem, (error.lineno, error.colno)) from None
    except _TooLong:
        problem = DescriptionError(f"a number has more than {_LONGEST_INT} digits")
        raise Broken(problem, _position_of_long_number(text)) from None
    except RecursionError:
        # This raises the error with the position of the level that is too deep.
        positions.document()
        raise Broken(DescriptionError("invalid JSON: nested too deeply"), None) from None
    positions.document()
    return data


def _first_ones(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping with the first of several entries of the same name."""
    items: dict[str, Any] = {}
    for name, value in pairs:
        items.setdefault(name, value)
    return items


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_INT:
        raise _TooLong
    return int(text)


def _position_of_long_number(text: str) -> Mark | None:
    for token in _TOKEN.finditer(text):
        if len(token[0]) > _LONGEST_INT and token[0].lstrip("-").isdecimal():
            return position_of(text, token.start())
    return None


class _PositionReader:
    """A reader that records the positions of all values and keys, and collects duplicate keys."""

    def __init__(self, text: str, findings: Findings) -> None:
        self._text = text
        self._tokens = _TOKEN.finditer(text)
        self._findings = findings
        self._positions = findings.positions
        self._at, self._line, self._line_begins = 0, 1, 0

    def document(self) -> None:
        """Read the whole text.

        Raises:
            Broken: the text is nested too deeply.
        """
        self._value(next(self._tokens), (), 0)

    def _value(self, token: re.Match[str], path: Path, depth: int) -> None:
        mark = self._positions.values[path] = self._mark(token)
        kind = token[0]
        if kind in ("{", "[") and depth >= MAX_DEPTH:
            error = DescriptionError(f"nested deeper than {MAX_DEPTH} levels")
            raise Broken(error, mark)
        if kind == "[":
            self._list(path, depth)
        elif kind == "{":
            self._mapping(path, depth)

    def _list(self, path: Path, depth: int) -> None:
        position = 0
        for token in self._tokens:
            if token[0] == "]":
                return
            if token[0] != ",":
                self._value(token, (*path, position), depth + 1)
                position += 1

    def _mapping(self, path: Path, depth: int) -> None:
        for token in self._tokens:
            if token[0] == "}":
                return
            if token[0] == ",":
                continue
            name = json.loads(token[0])
            full_path, mark = (*path, name), self._mark(token)
            if full_path in self._positions.keys:
                first = self._positions.keys[full_path][0]
                error = DescriptionError(
                    f"duplicate key {quoted(name)}, first in line {first}",
                    hint="remove one of them",
                )
                self._findings.add_at(error, mark)
                full_path = (*full_path, "again")
            else:
                self._positions.keys[full_path] = mark
            next(self._tokens)  # the colon
            self._value(next(self._tokens), full_path, depth + 1)

    def _mark(self, token: re.Match[str]) -> Mark:
        at = token.start()
        lines = self._text.count("\n", self._at, at)
        if lines:
            self._line += lines
            self._line_begins = self._text.rfind("\n", self._at, at) + 1
        self._at = at
        return self._line, at - self._line_begins + 1


def dump(data: dict[str, Any]) -> str:
    """Return plain data as JSON; the text of equal data is equal.

    Raises:
        InvalidValue: a text has a lone surrogate, which cannot be encoded.
    """
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValue("text cannot be encoded: it has a lone surrogate") from None
    return text
