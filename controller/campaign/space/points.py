"""Points of a space: their values, ids and tables."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InvalidValue
from ...errors.text import quoted
from ...model.parameters import check_parameter

#: A point: the values of its parameters by name, JSON values.
Point = dict[str, Any]

_MAX_BITS = 1024  # of a whole number; the range of a float
_DIGITS = re.compile(r"(\d{1,18})", re.ASCII)
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def check_value(value: Any) -> Any:
    """Return the value of a parameter as a JSON value.

    Numbers of NumPy become those of Python.

    Raises:
        InvalidValue: JSON has no such value, or it is not finite.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int or kind is float:
        return _bounded(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {str(key): check_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [check_value(item) for item in value]
    plain = value.item() if hasattr(value, "item") else value
    for builtin in (bool, int, float, str):
        if isinstance(plain, builtin):
            return check_value(builtin(plain))
    raise InvalidValue(f"cannot be {quoted(value)}: it must be text, a number, a list or a mapping")


def _bounded(number: float) -> float:
    if isinstance(number, int) and number.bit_length() > _MAX_BITS:
        raise InvalidValue("must be a smaller number")
    if not math.isfinite(number):
        raise InvalidValue("must be finite")
    return number


def canonical(value: Any) -> str:
    """Return a JSON value as text that is equal for equal values.

    Keys are sorted, and a whole number is written as one: 1.0 and 1 are the same, True is not.
    """
    return _encode(_whole(value))


def _whole(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value


def point_id(point: Mapping[str, Any]) -> str:
    """Return the id of a point, the same in every process.

    It has the first 12 hexadecimal digits of the SHA-256 of the canonical JSON of the point.

    Raises:
        InvalidValue: a value is not finite or has no JSON form.
    """
    text = canonical({name: check_value(value) for name, value in point.items()})
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def points_of(table: Any) -> list[Point]:
    """Return the points in a list of mappings, the path of a CSV file, or a DataFrame.

    Empty cells of a file and missing values of a DataFrame are parameters that the point does
    not have. Cells are typed as plain scalars of YAML are.

    Raises:
        InvalidValue: a name or a value is refused, or the file cannot be read.
    """
    if isinstance(table, (str, Path)):
        return _from_csv(Path(table))
    rows: Iterable[Any] = table
    if hasattr(table, "to_dicts"):  # polars
        rows = [
            {key: value for key, value in row.items() if value is not None}
            for row in table.to_dicts()
        ]
    elif hasattr(table, "to_dict"):  # pandas
        rows = [
            {key: value for key, value in row.items() if not _is_missing(value)}
            for row in table.to_dict("records")
        ]
    elif not isinstance(table, Sequence):
        raise InvalidValue("points must be a list, the path of a CSV file, or a DataFrame")
    return [_point(row) for row in rows]


def _point(row: Any) -> Point:
    if not isinstance(row, Mapping):
        raise InvalidValue(f"{quoted(row)} is not a point", hint="write NAME: VALUE for each")
    point = {}
    for name, value in row.items():
        try:
            point[check_parameter(name)] = check_value(value)
        except InvalidValue as error:
            error.where = error.where or str(name)
            raise
    return point


def _is_missing(value: Any) -> bool:
    """Return whether it is a missing value of pandas: None, or not equal to itself."""
    return value is None or type(value).__name__ == "NAType" or value != value  # noqa: PLR0124


def _from_csv(path: Path) -> list[Point]:
    from ...description.files.yaml_format import resolve

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidValue(f"{str(path)!r} cannot be read: {error}") from None
    points = []
    for number, row in enumerate(rows, 2):
        try:
            if None in row or None in row.values():
                raise InvalidValue("the row has more or fewer cells than the first line")
            points.append(_point({k: resolve(v) for k, v in row.items() if v != ""}))
        except InvalidValue as error:
            error.where = f"{path}:{number}"
            raise
    return points


def order(value: Any) -> tuple[int, Any]:
    """Return what values of a parameter are sorted by: none, numbers, text with 5ms before 20ms."""
    if value is None:
        return 0, 0
    if isinstance(value, int | float):
        return 1, value
    parts = _DIGITS.split(str(value))
    return 2, [int(part) if at % 2 else part for at, part in enumerate(parts)]
