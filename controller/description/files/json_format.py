"""JSON as descriptions use it: read with places, and written."""

from __future__ import annotations

import json
import re
from typing import Any

from ...errors import DescriptionError, InvalidValue
from ...errors.text import quoted
from .positions import Findings, Mark, Path
from .yaml_format import DEEPEST, Broken, place_of

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_LONGEST_INT = 4000  # characters, as in YAML; Python itself refuses some more


class _TooLong(ValueError):
    """A whole number has very many digits."""


def parse(text: str, findings: Findings) -> Any:
    """Read a text as plain data, and note where everything stands.

    Raises:
        Broken: it is no JSON, or none that is read.
    """
    placed = _Placing(text, findings)
    try:
        data = json.loads(text, object_pairs_hook=_first_ones, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        wrong = DescriptionError(f"no valid JSON: {error.msg[:1].lower()}{error.msg[1:]}")
        raise Broken(wrong, (error.lineno, error.colno)) from None
    except _TooLong:
        wrong = DescriptionError(f"a number of more than {_LONGEST_INT} digits is not read")
        raise Broken(wrong, _place_of_long_number(text)) from None
    except RecursionError:
        # Somewhere on its way it meets what is nested too deeply.
        placed.document()
        raise Broken(DescriptionError("no valid JSON: nested too deeply"), None) from None
    placed.document()
    return data


def _first_ones(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping in which the first of several entries of a name counts."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        made.setdefault(name, value)
    return made


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_INT:
        raise _TooLong
    return int(text)


def _place_of_long_number(text: str) -> Mark | None:
    for found in _TOKEN.finditer(text):
        if len(found[0]) > _LONGEST_INT and found[0].lstrip("-").isdecimal():
            return place_of(text, found.start())
    return None


class _Placing:
    """Notes where everything stands in a text that has been read, and which names are repeated."""

    def __init__(self, text: str, findings: Findings) -> None:
        self._text = text
        self._tokens = _TOKEN.finditer(text)
        self._findings = findings
        self._places = findings.places
        self._at, self._line, self._line_begins = 0, 1, 0

    def document(self) -> None:
        """Go through the text.

        Raises:
            Broken: it is nested too deeply.
        """
        self._value(next(self._tokens), (), 0)

    def _value(self, token: re.Match[str], path: Path, depth: int) -> None:
        mark = self._places.values[path] = self._mark(token)
        kind = token[0]
        if kind in ("{", "[") and depth >= DEEPEST:
            error = DescriptionError(f"nested deeper than {DEEPEST} levels")
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
            here, mark = (*path, name), self._mark(token)
            if here in self._places.keys:
                first = self._places.keys[here][0]
                error = DescriptionError(
                    f"{quoted(name)} is here twice, first in line {first}",
                    hint="remove one of them",
                )
                self._findings.add_at(error, mark)
                here = (*here, "again")
            else:
                self._places.keys[here] = mark
            next(self._tokens)  # the colon
            self._value(next(self._tokens), here, depth + 1)

    def _mark(self, token: re.Match[str]) -> Mark:
        at = token.start()
        lines = self._text.count("\n", self._at, at)
        if lines:
            self._line += lines
            self._line_begins = self._text.rfind("\n", self._at, at) + 1
        self._at = at
        return self._line, at - self._line_begins + 1


def dump(data: dict[str, Any]) -> str:
    """Write plain data as JSON; the same data gives the same text.

    Raises:
        InvalidValue: a text holds half of a surrogate pair, which no file can.
    """
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValue("a text holds half of a surrogate pair") from None
    return text
