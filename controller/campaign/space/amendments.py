"""Amendments of spaces: conditional and computed parameters, and points left out."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ...errors import InvalidValue
from ...model.parameters import check_parameter
from .forms import Form
from .formula import Formula, Given
from .points import Point, canonical, check_value


class When:
    """A space in which a parameter exists only under a condition."""

    is_distinct = False

    def __init__(self, form: Form, name: str, condition: Given) -> None:
        if name not in form.names:
            raise InvalidValue(f"there is no parameter {name!r} to be left out")
        self._form = form
        self._name = name
        self._condition = Formula.of(condition, form.names)
        self.names = form.names
        self.always = form.always - {name}
        self.length = form.length
        self.document = {"of": form.document, "when": {name: self._condition.document}}

    def point(self, index: int) -> Point:
        """Return a point."""
        point = self._form.point(index)
        if not self._condition(point):
            point.pop(self._name, None)
        return point


class Derive:
    """A space with a parameter that is computed from the others.

    The parameter does not exist where the formula has no value, because a parameter in it does
    not exist.
    """

    def __init__(self, form: Form, name: str, formula: Given) -> None:
        if check_parameter(name) in form.names:
            raise InvalidValue(f"parameter {name!r} exists already")
        self._form = form
        self._name = name
        self._formula = Formula.of(formula, form.names)
        self.names = (*form.names, name)
        self.always = form.always
        self.length = form.length
        self.is_distinct = form.is_distinct
        self.document = {"of": form.document, "derive": {name: self._formula.document}}

    def point(self, index: int) -> Point:
        """Return a point."""
        point = self._form.point(index)
        value = check_value(self._formula(point))
        if value is not None:
            point[self._name] = value
        return point


class Selection:
    """Some of the points of a form, in its order; their indices are found when first needed."""

    is_distinct = True
    document: dict[str, Any]

    def __init__(self, form: Form) -> None:
        self._form = form
        self.names = form.names
        self.always = form.always

    @cached_property
    def _indices(self) -> Sequence[int]:
        return self._select()

    def _select(self) -> Sequence[int]:
        raise NotImplementedError

    @property
    def length(self) -> int:
        """Number of points."""
        return len(self._indices)

    def point(self, index: int) -> Point:
        """Return a point."""
        return self._form.point(self._indices[index])


class Exclude(Selection):
    """A space without the points that fulfil a condition."""

    def __init__(self, form: Form, condition: Given) -> None:
        super().__init__(form)
        self._condition = Formula.of(condition, form.names)
        self.document = {"of": form.document, "exclude": self._condition.document}

    def _select(self) -> Sequence[int]:
        point, condition = self._form.point, self._condition
        kept = (index for index in range(self._form.length) if not condition(point(index)))
        return array("Q", kept)


class Distinct(Selection):
    """A space without the points that are equal to earlier ones."""

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.document = form.document

    def _select(self) -> Sequence[int]:
        known: set[str] = set()
        indices = array("Q")
        for index in range(self._form.length):
            text = canonical(self._form.point(index))
            if text not in known:
                known.add(text)
                indices.append(index)
        return indices if len(indices) < self._form.length else range(self._form.length)
