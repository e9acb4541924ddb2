"""Fillings: values with places that the points of a campaign fill."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import InvalidValue
from ..errors.text import quoted

#: Keys and indices that lead to a part of a value.
Path = tuple[str | int, ...]

_Fill = Callable[[Mapping[str, Any]], Any]


class _Absent:
    """The value of a place whose parameter a point does not have."""


ABSENT = _Absent()


class Filling:
    """A value with places, such as ``{"count": "${n}"}``, that points fill.

    A text that is only a place becomes the value of the parameter with its type; without a
    value at a point, its entry is left out. In a longer text the value becomes a part of the text.
    Other names in ``${...}``, such as NEPI's ``${RUN_HOME}`` and variables of the shell, are left
    as they are, and ``$${n}`` stands for the text ``${n}``.

    Args:
        value: the value, JSON data.
        parameters: the names of the parameters.
        path: the path of the value, for ``places``.
        is_text: function that returns whether the value at a path must be text.

    Attributes:
        places: the names in each part with places, by path.
    """

    __slots__ = ("_fill", "_is_text", "_pattern", "_value", "places")

    def __init__(
        self,
        value: Any,
        parameters: Iterable[str],
        path: Path = (),
        is_text: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        names = "|".join(sorted(parameters, key=len, reverse=True)) or "(?!)"
        self._pattern = re.compile(r"\$?\$\{(" + names + r")\}")
        self._is_text = is_text
        self._value = value
        self.places: dict[Path, tuple[str, ...]] = {}
        self._fill = self._compile(value, path)

    @property
    def names(self) -> frozenset[str]:
        """The parameters that have a place."""
        return frozenset(name for names in self.places.values() for name in names)

    def at(self, point: Mapping[str, Any]) -> Any:
        """Return the value at a point; :data:`ABSENT` if it is a place without a value.

        Parts without places are those of the given value: do not change them.

        Raises:
            InvalidValue: a text needs a parameter that the point does not have.
        """
        return self._value if self._fill is None else self._fill(point)

    def _compile(self, value: Any, path: Path) -> _Fill | None:
        """Return a function that fills a part; None for a part without places."""
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, dict):
            fills = self._fills(value.items(), path)
            return _mapping(value, fills) if fills else None
        if isinstance(value, list):
            fills = self._fills(enumerate(value), path)
            return _list(value, fills) if fills else None
        return None

    def _whole(self, name: str, text: str, path: Path) -> _Fill:
        if not self._is_text(path):
            return lambda point: point.get(name, ABSENT)

        def fill(point: Mapping[str, Any]) -> Any:
            return ABSENT if point.get(name) is None else _word(point, name, text)

        return fill

    def _fills(self, items: Iterable[tuple[Any, Any]], path: Path) -> dict[Any, _Fill]:
        fills = {key: self._compile(item, (*path, key)) for key, item in items}
        return {key: fill for key, fill in fills.items() if fill is not None}

    def _text(self, text: str, path: Path) -> _Fill | None:
        parts = self._pattern.split(text)
        if len(parts) == 1:
            return None
        matches = [match[0] for match in self._pattern.finditer(text)]
        self.places[path] = tuple(
            name for name, match in zip(parts[1::2], matches, strict=True) if match[1] != "$"
        )
        if matches == [text] and self.places[path]:
            return self._whole(parts[1], text, path)
        # An escaped place is text.
        for at, match in enumerate(matches):
            if match[1] == "$":
                parts[2 * at] += match[1:]
                parts[2 * at + 1] = ""

        def fill(point: Mapping[str, Any]) -> str:
            return "".join(
                (_word(point, part, text) if part else "") if at % 2 else part
                for at, part in enumerate(parts)
            )

        return fill


def _mapping(base: dict[str, Any], fills: Mapping[str, _Fill]) -> _Fill:
    def fill(point: Mapping[str, Any]) -> dict[str, Any]:
        filled = dict(base)
        for key, part in fills.items():
            value = part(point)
            if value is ABSENT:
                del filled[key]
            else:
                filled[key] = value
        return filled

    return fill


def _list(base: list[Any], fills: Mapping[int, _Fill]) -> _Fill:
    def fill(point: Mapping[str, Any]) -> list[Any]:
        filled = list(base)
        for index, part in fills.items():
            filled[index] = part(point)
        return [item for item in filled if item is not ABSENT]

    return fill


def _word(point: Mapping[str, Any], name: str, text: str) -> str:
    value = point.get(name)
    if value is None:
        raise InvalidValue(
            f"parameter {quoted(name)} has no value here, and {quoted(text)} needs it",
            hint="make it the whole value, or derive a parameter that always has one",
        )
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
