"""Documents of spaces: their JSON form, as in a description.

A document has the keys of one form (``grid``, ``zip``, ``points``, ``random``, ``sobol``,
``product``, ``concat``, or ``of`` with a document), or of several, whose product it is. The keys
``when``, ``derive`` and ``exclude`` amend them in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import InvalidValue, near_misses
from ...errors.text import quoted
from .formula import Formula
from .misfits import inside
from .space import Space

_AMENDMENTS = ("when", "derive", "exclude")
_SAMPLE = ("n", "seed", "values")
_Reader = Callable[[Any, Path | None], Space]


def read(document: Any, folder: Path | None) -> Space:
    """Return the space in a document; see :meth:`Space.of`."""
    entries = _mapping(document, "a space", "write grid, zip, points or the like")
    for name in entries:
        if name not in _FORMS and name not in _AMENDMENTS:
            with inside(name, key=True):
                raise InvalidValue(
                    f"unknown key {quoted(name)}",
                    hint=partial(near_misses, name, [*_FORMS, *_AMENDMENTS]),
                )
    parts = []
    for name, value in entries.items():
        if name in _FORMS:
            with inside(name):
                parts.append(_FORMS[name](value, folder))
    if not parts:
        raise InvalidValue("there are no points", hint="write grid, zip, points or the like")
    space = Space.product(*parts)
    for amendment in ("when", "derive"):
        given = entries.get(amendment)
        with inside(amendment):
            formulas = {} if given is None else _mapping(given, amendment, "write NAME: EXPRESSION")
            for name, formula in formulas.items():
                with inside(name):
                    space = getattr(space, amendment)(name, formula)
    exclude = entries.get("exclude")
    with inside("exclude"):
        for number, condition in enumerate(exclude if isinstance(exclude, list) else [exclude]):
            if condition is not None:
                with inside(number):
                    space = space.exclude(condition)
    return space


def replaced(space: Space, grid: Space) -> dict[str, Any]:
    """Return the document of a space with the values of a grid; see :meth:`Space.replace`.

    Raises:
        InvalidValue: a parameter of the space is not one of a grid in it.
    """
    document = deepcopy(space.to_document())
    axes: dict[str, Any] = grid.to_document()["grid"]
    more = {name: axis for name, axis in axes.items() if not _put(document, name, axis)}
    for name in more:
        if name in space.parameters:
            raise InvalidValue(
                f"the values of parameter {name!r} cannot be replaced: it is not one of a grid"
            )
    base = document
    while "of" in base:
        base = base["of"]
    if more and "grid" in base:
        base["grid"].update(more)
    elif more:
        form = dict(base)
        base.clear()
        base["product"] = [form, {"grid": more}]
    return document


def _put(document: dict[str, Any], name: str, axis: Any) -> bool:
    """Put the values of a parameter into the grid that has it; return whether there is one."""
    if name in document.get("grid", ()):
        document["grid"][name] = axis
        return True
    parts = [document["of"]] if "of" in document else document.get("product", [])
    return any(_put(part, name, axis) for part in parts)


def _mapping(value: Any, what: str, hint: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidValue(f"{quoted(value)} is not {what}", hint=hint)
    return value


def _values(value: Any) -> Mapping[str, Any]:
    return _mapping(value, "a mapping of parameters to values", "write NAME: VALUES")


def _grid(value: Any, _: Path | None) -> Space:
    return Space.grid(**_values(value))


def _zip(value: Any, _: Path | None) -> Space:
    return Space.zip(**_values(value))


def _points(value: Any, folder: Path | None) -> Space:
    if isinstance(value, str) and folder is not None:
        return Space.points(folder / value)
    if not isinstance(value, list):
        raise InvalidValue(f"{quoted(value)} is not a list of points")
    return Space.points(value)


def _sampled(make: Callable[..., Space]) -> _Reader:
    def read_sample(value: Any, _: Path | None) -> Space:
        entries = _mapping(value, "a sample", "write n, seed and values")
        for name in entries:
            if name not in _SAMPLE:
                with inside(name, key=True):
                    raise InvalidValue(
                        f"unknown key {quoted(name)}", hint=partial(near_misses, name, _SAMPLE)
                    )
        for name in _SAMPLE:
            if name not in entries:
                raise InvalidValue(f"{name!r} is missing", hint="write n, seed and values")
        for name in ("n", "seed"):
            if isinstance(entries[name], bool) or not isinstance(entries[name], int):
                with inside(name):
                    raise InvalidValue("must be a whole number")
        with inside("values"):
            values = _values(entries["values"])
            return make(entries["n"], entries["seed"], **values)

    return read_sample


def _combined(make: Callable[..., Space]) -> _Reader:
    def read_parts(value: Any, folder: Path | None) -> Space:
        if not isinstance(value, list):
            raise InvalidValue(f"{quoted(value)} is not a list of spaces")
        parts = []
        for number, part in enumerate(value):
            with inside(number):
                parts.append(read(part, folder))
        return make(*parts)

    return read_parts


_FORMS: Mapping[str, _Reader] = {
    "grid": _grid,
    "zip": _zip,
    "points": _points,
    "random": _sampled(Space.random),
    "sobol": _sampled(Space.sobol),
    "product": _combined(Space.product),
    "concat": _combined(Space.concat),
    "of": read,
}


def mentioned(document: Any) -> set[str]:
    """Return the parameters that formulas of a space need; a function needs all of them."""
    if isinstance(document, list):
        return set[str]().union(*map(mentioned, document))
    if not isinstance(document, Mapping):
        return set()
    names = mentioned([document.get(key) for key in ("of", "product", "concat")])
    formulas = [*document.get("when", {}).values(), *document.get("derive", {}).values()]
    for formula in [*formulas, *([document["exclude"]] if "exclude" in document else [])]:
        names |= Formula.of(formula, Space.of(document["of"]).parameters).names
    return names
