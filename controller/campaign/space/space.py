"""Spaces: the points of a campaign, computed when they are needed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InvalidValue
from ...model.parameters import check_parameter
from .amendments import Derive, Distinct, Exclude, When
from .axes import Axis
from .distributions import Distribution
from .forms import Concat, Form, Grid, Points, Product, Random, Sobol, Zip
from .formula import Given
from .misfits import inside
from .points import Point, canonical, points_of


class Space:
    """The points of a campaign: an immutable sequence of mappings of parameters to values.

    No point is in it twice. Points are computed by index, the same ones in every process.

    Values of a parameter are a list, a Python range, or a rule as text: ``"range(1, 9)"``,
    ``"linspace(0, 1, 11)"``, ``"logspace(0, 3, 4)"``, ``"geomspace(1, 1000, 4)"``. Those of
    :meth:`random` and :meth:`sobol` may also be ``"uniform(1, 10)"``, ``"loguniform(1, 100)"``,
    ``"normal(0, 1)"``, ``"randint(1, 6)"`` and ``"choice([tcp, udp])"``.

    Conditions and formulas are expressions (see :class:`.Expression`), or functions of a module
    that workers can import, called with the parameters by name.

    Example:
        ::

            space = Space.grid(protocol=["batman", "olsr"], rate=[1, 2, 5], power=range(5, 15))
            space = space.when("power", "protocol == 'batman'").exclude("rate == 5 and power > 12")
            print(len(space), space[0])
    """

    __slots__ = ("_canonical", "_form")

    def __init__(self, form: Form) -> None:
        self._form = form if form.is_distinct else Distinct(form)
        self._canonical = ""

    # -- forms ----------------------------------------------------------------------------------

    @staticmethod
    def grid(**values: Any) -> Space:
        """Return all combinations of the values; those of the last parameter vary first."""
        return Space(Grid(_axes(values)))

    @staticmethod
    def zip(**values: Any) -> Space:
        """Return the values together: the first of each parameter, the second of each, ..."""
        return Space(Zip(_axes(values)))

    @staticmethod
    def points(table: Any) -> Space:
        """Return the points in a list of mappings, the path of a CSV file, or a DataFrame."""
        return Space(Points(points_of(table)))

    @staticmethod
    def random(count: int, seed: int, /, **values: Any) -> Space:
        """Return points drawn without replacement."""
        return Space(Random(_count(count), _whole(seed, "seed"), _distributions(values)))

    @staticmethod
    def sobol(count: int, seed: int, /, **values: Any) -> Space:
        """Return points of Sobol's sequence, best a power of two of them."""
        return Space(Sobol(_count(count), _whole(seed, "seed"), _distributions(values)))

    @staticmethod
    def product(*spaces: Space) -> Space:
        """Return all combinations of the points of spaces; those of the last vary first."""
        parts = _several(spaces, "a product")
        return spaces[0] if len(parts) == 1 else Space(Product(parts))

    @staticmethod
    def concat(*spaces: Space) -> Space:
        """Return the points of spaces one after the other, without those that repeat."""
        parts = _several(spaces, "concat")
        return spaces[0] if len(parts) == 1 else Space(Concat(parts))

    def __mul__(self, other: Space) -> Space:
        return Space.product(self, other)

    def __add__(self, other: Space) -> Space:
        return Space.concat(self, other)

    # -- amendments -----------------------------------------------------------------------------

    def when(self, parameter: str, condition: Given) -> Space:
        """Return the space in which a parameter exists only under a condition."""
        return Space(When(self._form, parameter, condition))

    def derive(self, parameter: str, formula: Given) -> Space:
        """Return the space with one more parameter, computed from the others."""
        return Space(Derive(self._form, parameter, formula))

    def exclude(self, condition: Given) -> Space:
        """Return the space without the points that fulfil a condition."""
        return Space(Exclude(self._form, condition))

    # -- points ---------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of all parameters; a point may lack those that are conditional."""
        return self._form.names

    def __len__(self) -> int:
        return self._form.length

    def __getitem__(self, index: int) -> Point:
        length = self._form.length
        place = operator.index(index)
        place += length if place < 0 else 0
        if not 0 <= place < length:
            raise IndexError(f"there are {length} points, no point {index}")
        return self._form.point(place)

    def __iter__(self) -> Iterator[Point]:
        return map(self._form.point, range(self._form.length))

    # -- documents ------------------------------------------------------------------------------

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form, which does not depend on how the space was written."""
        return self._form.document

    @staticmethod
    def of(document: Any, folder: Path | None = None) -> Space:
        """Return the space in a document, as in the key ``space`` of a description.

        Args:
            document: the JSON form.
            folder: the directory of relative paths of CSV files in it; None to read no file.

        Raises:
            InvalidValue: it is not such a document; an error inside it is a :class:`Misfit`.
        """
        from .documents import read

        return read(document, folder)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        return self._text() == other._text()

    def __hash__(self) -> int:
        return hash(self._text())

    def __reduce__(self) -> tuple[Callable[[Any], Space], tuple[Any]]:
        return Space.of, (self.to_document(),)

    def __repr__(self) -> str:
        return f"<Space of {', '.join(self.parameters)}: {self._text()[:80]}>"

    def _text(self) -> str:
        if not self._canonical:
            self._canonical = canonical(self._form.document)
        return self._canonical

    def replace(self, values: Mapping[str, Any]) -> Space:
        """Return the space with other values for parameters of its grids, or with more parameters.

        Args:
            values: values by parameter. A parameter that the space does not have is added in all
                combinations.

        Raises:
            InvalidValue: a parameter of the space is not one of a grid.
        """
        from .documents import replaced

        return Space.of(replaced(self, Space.grid(**values))) if values else self


def _axes(values: Mapping[str, Any]) -> dict[str, Axis]:
    axes = {}
    for name, given in values.items():
        with inside(name):
            axes[check_parameter(name)] = Axis.of(given)
    return axes


def _distributions(values: Mapping[str, Any]) -> dict[str, Distribution]:
    items = {}
    for name, given in values.items():
        with inside(name):
            items[check_parameter(name)] = Distribution.of(given)
    return items


def _several(spaces: Sequence[Space], what: str) -> list[Form]:
    if not spaces:
        raise InvalidValue(f"{what} needs a space")
    return [space._form for space in spaces]  # noqa: SLF001 - of this class


def _count(value: Any) -> int:
    if _whole(value, "the number of points") < 1:
        raise InvalidValue("there must be at least one point")
    return int(value)


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue(f"{what} must be a whole number")
    return value
