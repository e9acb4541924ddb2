"""Formulas: conditions and values that are computed from a point."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from ...errors import ClassNotImportable, InvalidValue, NotAllowed, near_misses
from ...errors.text import quoted
from ...model.expressions import Expression
from ...settings import Settings
from .points import check_value

#: An expression, a function that workers can import, or a reference to one.
Given = str | Callable[..., Any] | Mapping[str, Any]


class Formula:
    """A condition or a value computed from a point: an expression, or an importable function.

    A function is called with the parameters of the point by name. A formula in a document is
    imported only from modules in ``NEPIQ_IMPORTS``, when it is first needed.

    Attributes:
        document: the JSON form: the expression, or ``{"call": "module:function"}``.
        names: the parameters that it needs; all of them for a function.
    """

    __slots__ = ("_compute", "document", "names")

    def __init__(
        self, document: Any, names: Iterable[str], compute: Callable[[Mapping[str, Any]], Any]
    ) -> None:
        self.document = document
        self.names = frozenset(names)
        self._compute = compute

    def __call__(self, point: Mapping[str, Any]) -> Any:
        """Return its value for a point.

        Raises:
            InvalidValue: it has none, or none that JSON has.
            ClassNotImportable: its module is not in ``NEPIQ_IMPORTS``.
        """
        return self._compute(point)

    @classmethod
    def of(cls, given: Given, parameters: Iterable[str]) -> Formula:
        """Return the formula that users wrote.

        Args:
            given: an expression, a function, or ``{"call": "module:function"}``.
            parameters: the names that an expression may contain.

        Raises:
            InvalidValue: the expression is invalid or has an unknown name, or workers could not
                import the function.
        """
        if isinstance(given, Mapping):
            reference = given.get("call")
            if len(given) != 1 or not isinstance(reference, str) or ":" not in reference:
                raise InvalidValue(
                    f"{quoted(dict(given))} is not a formula",
                    hint="write an expression, or call: MODULE:FUNCTION",
                )
            return cls({"call": reference}, parameters, partial(_call, _Reference(reference)))
        if callable(given):
            function = given
            compute = partial(_call, lambda: function)
            return cls({"call": _reference_of(given)}, parameters, compute)
        expression = Expression.parse(
            given, "parameters", "rate > 5 and mode == 'tcp'", arithmetic=True
        )
        known = list(parameters)
        for name in sorted(expression.names.difference(known)):
            raise InvalidValue(
                f"unknown parameter {quoted(name)}", hint=partial(near_misses, name, known)
            )
        return cls(expression.text, expression.names, expression)


class _Reference:
    """A reference to a function, imported when it is first called."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._function: Callable[..., Any] | None = None

    def __call__(self) -> Callable[..., Any]:
        if self._function is None:
            self._function = imported(self._text)
        return self._function


def imported(reference: str) -> Callable[..., Any]:
    """Return a function that a document names, ``module:function``.

    Raises:
        ClassNotImportable: its module is not in ``NEPIQ_IMPORTS``.
        NotAllowed: it is not a function of that module.
    """
    module, _, name = reference.partition(":")
    if module not in Settings.from_environment().imports:
        raise ClassNotImportable(
            f"module {module!r} of the function {name!r} is not imported here",
            hint=f"install it and list it in NEPIQ_IMPORTS={module}",
        )
    function: Any = getattr(importlib.import_module(module), name, None)
    # Names that the module itself imports are not exposed to writers of documents.
    if not callable(function) or getattr(function, "__module__", "") != module:
        raise NotAllowed(f"{reference} is not a function of that module")
    return function  # type: ignore[no-any-return]


def _reference_of(function: Callable[..., Any]) -> str:
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", "")
    if not module or module == "__main__" or not name.isidentifier():
        raise InvalidValue(
            f"workers cannot import {name or function!r}",
            hint="define it in a module of its own, or write an expression",
        )
    return f"{module}:{name}"


def _call(function: Callable[[], Callable[..., Any]], point: Mapping[str, Any]) -> Any:
    return check_value(function()(**point))
