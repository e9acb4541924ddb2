"""Forms of spaces: sequences of points that are computed by index."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import prod
from typing import Any, Protocol

from ...errors import InvalidValue
from . import sobol
from .axes import Axis
from .distributions import Distribution
from .permutation import LARGEST, Permutation
from .points import Point, canonical

#: Maximum number of points.
LONGEST = 2**53


class Form(Protocol):
    """A sequence of points.

    Attributes:
        document: the JSON form.
        names: the parameters that a point may have.
        always: the parameters that each point has.
        is_distinct: True if no two points can be equal.
        length: number of points.
    """

    @property
    def document(self) -> dict[str, Any]: ...  # noqa: D102 - attributes of the class
    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def always(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def is_distinct(self) -> bool: ...  # noqa: D102
    @property
    def length(self) -> int: ...  # noqa: D102

    def point(self, index: int) -> Point:
        """Return a point, a new mapping."""


class Rows:
    """A form whose points all have the same parameters.

    Args:
        document: the JSON form.
        names: the parameters.
        length: number of points.
        is_distinct: True if no two points can be equal.

    Raises:
        InvalidValue: there are too many points.
    """

    def __init__(
        self, document: dict[str, Any], names: Iterable[str], length: int, *, is_distinct: bool
    ) -> None:
        self.document = document
        self.names = tuple(names)
        self.always = frozenset(self.names)
        self.length = length
        self.is_distinct = is_distinct
        if length > LONGEST:
            raise InvalidValue(f"a space cannot have {length} points")


class Grid(Rows):
    """All combinations of the values of several parameters, the last one varying first.

    Without parameters it has one point, without values.
    """

    def __init__(self, axes: Mapping[str, Axis]) -> None:
        self._axes = {name: axis.without_repetition() for name, axis in axes.items()}
        self._backward = [(name, axis, axis.length) for name, axis in self._axes.items()][::-1]
        document = {"grid": {name: axis.document for name, axis in self._axes.items()}}
        length = prod(axis.length for axis in self._axes.values())
        super().__init__(document, axes, length, is_distinct=True)

    @property
    def axes(self) -> dict[str, Axis]:
        """The values by parameter."""
        return dict(self._axes)

    def point(self, index: int) -> Point:
        """Return a point."""
        values = []
        for name, axis, length in self._backward:
            index, place = divmod(index, length)
            values.append((name, axis[place]))
        return dict(reversed(values))


class Zip(Rows):
    """The values of several parameters together: the first of each, the second of each, ...

    Raises:
        InvalidValue: there are no parameters, or not equally many values.
    """

    def __init__(self, axes: Mapping[str, Axis]) -> None:
        self._axes = dict(axes)
        lengths = {name: axis.length for name, axis in axes.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise InvalidValue(
                f"parameters in a zip need equally many values, not {counts}",
                hint="use a grid for all combinations",
            )
        if not axes:
            raise InvalidValue("a zip needs parameters")
        document = {"zip": {name: axis.document for name, axis in axes.items()}}
        length = min(lengths.values())
        # Values of a rule differ.
        distinct = any(isinstance(axis.document, dict) for axis in axes.values())
        super().__init__(document, axes, length, is_distinct=distinct)

    def point(self, index: int) -> Point:
        """Return a point."""
        return {name: axis[index] for name, axis in self._axes.items()}


class Points:
    """Points that are listed; of equal ones only the first."""

    is_distinct = True

    def __init__(self, points: Sequence[Point]) -> None:
        first: dict[str, Point] = {}
        for point in points:
            first.setdefault(canonical(point), point)
        self._points = list(first.values())
        self.names = tuple(dict.fromkeys(name for point in self._points for name in point))
        self.always = frozenset(self.names).intersection(*self._points)
        self.length = len(self._points)
        self.document = {"points": self._points}
        if not self._points:
            raise InvalidValue("there are no points")

    def point(self, index: int) -> Point:
        """Return a point."""
        return dict(self._points[index])


class Random(Rows):
    """Points drawn without replacement; more points with the same seed begin with the same ones.

    Raises:
        InvalidValue: there are not so many different points, or too many parameters.
    """

    def __init__(self, count: int, seed: int, values: Mapping[str, Distribution]) -> None:
        self._backward = list(values.items())[::-1]
        size = prod(item.levels for item in values.values())
        if size > LARGEST:
            raise InvalidValue(f"{len(values)} parameters are too many for random points")
        if count > size:
            raise InvalidValue(f"there are only {size} different points, not {count}")
        self._permutation = Permutation(size, f"random:{seed}")
        document = {"random": _sample(count, seed, values)}
        super().__init__(document, values, count, is_distinct=True)

    def point(self, index: int) -> Point:
        """Return a point."""
        number, values = self._permutation[index], []
        for name, item in self._backward:
            number, level = divmod(number, item.levels)
            values.append((name, item.value(level)))
        return dict(reversed(values))


class Sobol(Rows):
    """Points of Sobol's sequence, which cover a space more evenly than random ones.

    Raises:
        InvalidValue: there are too many parameters or points.
    """

    def __init__(self, count: int, seed: int, values: Mapping[str, Distribution]) -> None:
        if len(values) > sobol.DIMENSIONS:
            raise InvalidValue(f"sobol takes at most {sobol.DIMENSIONS} parameters")
        if count > sobol.LONGEST:
            raise InvalidValue(f"sobol has at most {sobol.LONGEST} points")
        self._values = [
            (name, item, sobol.shift(seed, dimension))
            for dimension, (name, item) in enumerate(values.items())
        ]
        # The first 2**k points lie in different ones of 2**k equal parts of each dimension.
        parts = 1 << (count - 1).bit_length()
        distinct = any(item.continuous and item.levels >= parts for item in values.values())
        document = {"sobol": _sample(count, seed, values)}
        super().__init__(document, values, count, is_distinct=distinct)

    def point(self, index: int) -> Point:
        """Return a point."""
        return {
            name: item.value((sobol.coordinate(index, at) ^ shift) * item.levels // sobol.LONGEST)
            for at, (name, item, shift) in enumerate(self._values)
        }


def _sample(count: int, seed: int, values: Mapping[str, Distribution]) -> dict[str, Any]:
    documents = {name: item.document for name, item in values.items()}
    return {"n": count, "seed": seed, "values": documents}


class Product:
    """All combinations of the points of several forms, the last one varying first.

    Raises:
        InvalidValue: two of them have the same parameter, or there are too many points.
    """

    is_distinct = True

    def __init__(self, parts: Sequence[Form]) -> None:
        self._backward = [(part, part.length) for part in parts][::-1]
        self.names = tuple(name for part in parts for name in part.names)
        for name in self.names:
            if self.names.count(name) > 1:
                raise InvalidValue(f"parameter {name!r} is in two parts of a product")
        self.always = frozenset[str]().union(*(part.always for part in parts))
        self.length = prod(part.length for part in parts)
        self.document = {"product": [part.document for part in parts]}
        if self.length > LONGEST:
            raise InvalidValue(f"a space cannot have {self.length} points")

    def point(self, index: int) -> Point:
        """Return a point."""
        points = []
        for part, length in self._backward:
            index, place = divmod(index, length)
            points.append(part.point(place))
        return {name: value for point in reversed(points) for name, value in point.items()}


class Concat:
    """The points of several forms, one form after the other."""

    def __init__(self, parts: Sequence[Form]) -> None:
        self._parts = list(parts)
        self._ends = list(accumulate(part.length for part in parts))
        self.names = tuple(dict.fromkeys(name for part in parts for name in part.names))
        self.always = frozenset(self.names).intersection(*(part.always for part in parts))
        self.length = self._ends[-1]
        self.document = {"concat": [part.document for part in parts]}
        self.is_distinct = all(
            part.always.difference(other.names) or other.always.difference(part.names)
            for at, part in enumerate(parts)
            for other in parts[:at]
        )

    def point(self, index: int) -> Point:
        """Return a point."""
        at = bisect_right(self._ends, index)
        return self._parts[at].point(index - (self._ends[at - 1] if at else 0))
