"""Expressions that choose hosts of a pool by labels and facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidValue
from ...errors.text import quoted
from ...model.expressions import Expression, Values, equal


class Where:
    """A condition on the labels and facts of a host.

    Users write an :class:`Expression`, as ``arch == 'x86_64' and memory >= '4GB'``, or a mapping
    of labels to values.

    Attributes:
        text: the condition as text.
        names: the labels and facts that it refers to.
    """

    __slots__ = ("_expression",)

    def __init__(self, expression: Expression) -> None:
        self._expression = expression

    def __str__(self) -> str:
        """Return the condition as text."""
        return self.text

    @property
    def text(self) -> str:  # noqa: D102 - an attribute of the class
        return self._expression.text

    @property
    def names(self) -> frozenset[str]:  # noqa: D102 - an attribute of the class
        return self._expression.names

    def matches(self, values: Values) -> bool:
        """Return whether a host with these labels and facts fulfils the condition."""
        return bool(self._expression(values))

    @classmethod
    def parse(cls, value: Any) -> Where:
        """Return the condition in text or a mapping; empty text accepts every host.

        Raises:
            InvalidValue: it is not such an expression; the message gives the column, from 1.
        """
        if isinstance(value, Mapping):
            return cls._of_labels(value)
        if not isinstance(value, str):
            raise InvalidValue("must be an expression such as \"arch == 'x86_64'\", or a mapping")
        if not value.strip():
            return cls(Expression("", frozenset(), lambda _: True))
        example = "arch == 'x86_64' and memory >= '4GB'"
        return cls(Expression.parse(value, "labels and facts", example))

    @classmethod
    def _of_labels(cls, labels: Mapping[str, Any]) -> Where:
        wanted = dict(labels)
        for name, item in wanted.items():
            if not isinstance(item, (str, int, float)):
                raise InvalidValue(f"must compare {quoted(name)} with text, a number or True")
        text = " and ".join(f"{name} == {item!r}" for name, item in wanted.items())

        def term(values: Values) -> bool:
            return all(equal(values.get(name), item) for name, item in wanted.items())

        return cls(Expression(text, frozenset(wanted), term))
