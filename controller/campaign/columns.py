"""Columns of a table: their names, kinds and order, from one pass over its records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .samples import Text, guessed

#: The range of whole numbers in columns of all formats.
_INT64 = range(-(2**63), 2**63)


class Kind(Enum):
    """The kinds of columns."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    STR = "str"

    def convert(self, value: Any) -> Any:
        """Return a value of a column of this kind; None for a missing one."""
        if value is None:
            return None
        if isinstance(value, Text):
            if _is_missing(value):
                return None
            if self is Kind.STR:
                return str(value)
            value = guessed(value)
        if self is Kind.FLOAT:
            return float(value)
        if self is Kind.STR and not isinstance(value, str):
            return json.dumps(value, ensure_ascii=False)
        return value


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its name.
        kind: the kind of its values, each of which may be missing.
    """

    name: str
    kind: Kind


def columns(
    records: Iterable[Mapping[str, Any]], first: Iterable[str] = ()
) -> tuple[list[Column], int]:
    """Return the columns of records, and the number of records.

    Whole and other numbers together are a column of floats, any other mixture is one of text.

    Args:
        records: the records.
        first: names of columns that exist in any case, before the others.
    """
    kinds: dict[str, Kind | None] = dict.fromkeys(first)
    count = 0
    for record in records:
        count += 1
        for name, value in record.items():
            kind = _kind(value)
            known = kinds.setdefault(name, None)
            if kind is not None and kind is not known:
                kinds[name] = kind if known is None else _common(known, kind)
    return [Column(name, kind or Kind.STR) for name, kind in kinds.items()], count


def _kind(value: Any) -> Kind | None:
    if isinstance(value, Text):
        value = None if _is_missing(value) else guessed(value)
    if value is None:
        return None
    if isinstance(value, bool):
        return Kind.BOOL
    if isinstance(value, int):
        return Kind.INT if value in _INT64 else Kind.STR
    return Kind.FLOAT if isinstance(value, float) else Kind.STR


def _common(one: Kind, other: Kind) -> Kind:
    return Kind.FLOAT if {one, other} == {Kind.INT, Kind.FLOAT} else Kind.STR


def _is_missing(text: str) -> bool:
    """Return whether a cell of CSV has no value; programs write one that is not a number so."""
    return text.strip().lower() in ("", "nan", "-nan")
