"""Distributions of the values of random points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

from ...errors import InvalidValue
from ...errors.text import quoted
from .axes import RULES, Axis, rounded
from .calls import parse_call
from .points import check_value

#: Numbers of equally probable values, as many as differ in 12 digits.
_LEVELS = (2**32, 2**26, 2**20, 2**16)


class Distribution:
    """A distribution as a number of equally probable values.

    Args:
        document: the JSON form: ``{name: arguments}``, or that of an :class:`Axis`.
        levels: number of values.
        value: function that returns a value for its number.
        continuous: True if the values stand for all those between them.
    """

    __slots__ = ("continuous", "document", "levels", "value")

    def __init__(
        self, document: Any, levels: int, value: Callable[[int], Any], *, continuous: bool = False
    ) -> None:
        self.document = document
        self.levels = levels
        self.value = value
        self.continuous = continuous

    @classmethod
    def of(cls, values: Any) -> Distribution:
        """Return the distribution that users wrote.

        Args:
            values: ``uniform(LOW, HIGH)``, ``loguniform(LOW, HIGH)``, ``normal(MEAN, SD)``,
                ``randint(LOW, HIGH)`` with both ends, or ``choice(LIST)``, as text or as
                ``{name: arguments}``; or values as of an :class:`Axis`, equally probable.

        Raises:
            InvalidValue: a value or an argument is refused.
        """
        if isinstance(values, str):
            name, arguments = parse_call(values, DISTRIBUTIONS)
            if name:
                return _of_name(name, arguments)
        if isinstance(values, Mapping) and len(values) == 1:
            [(name, arguments)] = values.items()
            if name == "choice":
                return _choice(arguments)
            if name in DISTRIBUTIONS:
                return _of_name(name, arguments if isinstance(arguments, list) else [arguments])
            if name not in RULES:
                raise InvalidValue(
                    f"{quoted(name)} is not a distribution",
                    hint="choose " + ", ".join([*DISTRIBUTIONS, *RULES]),
                )
        return _choice(values)


def _of_name(name: str, arguments: Sequence[Any]) -> Distribution:
    if name == "choice":
        return _choice(arguments[0] if len(arguments) == 1 else list(arguments))
    for argument in arguments:
        if isinstance(argument, bool) or not isinstance(check_value(argument), (int, float)):
            raise InvalidValue(f"{name} takes numbers, not {quoted(argument)}")
    try:
        return DISTRIBUTIONS[name](*arguments)
    except TypeError:
        raise InvalidValue(f"{name} takes 2 arguments, not {len(arguments)}") from None


def _choice(values: Any) -> Distribution:
    axis = Axis.of(values).without_repetition()
    return Distribution(axis.document, axis.length, axis.__getitem__)


def _randint(low: float, high: float) -> Distribution:
    if not isinstance(low, int) or not isinstance(high, int):
        raise InvalidValue("randint takes whole numbers")
    _check_ends("randint", low, high + 1)
    return Distribution({"randint": [low, high]}, high - low + 1, lambda level: low + level)


def _uniform(low: float, high: float) -> Distribution:
    _check_ends("uniform", low, high)
    return _continuous("uniform", low, high, lambda share: low + (high - low) * share)


def _loguniform(low: float, high: float) -> Distribution:
    _check_ends("loguniform", low, high)
    if low <= 0:
        raise InvalidValue("loguniform needs two positive ends")
    first, width = math.log(low), math.log(high) - math.log(low)
    return _continuous("loguniform", low, high, lambda share: math.exp(first + width * share))


def _normal(mean: float, deviation: float) -> Distribution:
    if deviation <= 0:
        raise InvalidValue("normal needs a positive deviation")
    return _continuous("normal", mean, deviation, NormalDist(mean, deviation).inv_cdf)


def _check_ends(name: str, low: float, high: float) -> None:
    if low >= high:
        raise InvalidValue(f"{name} needs a lower end below its upper end")


def _continuous(
    name: str, first: float, second: float, quantile: Callable[[float], float]
) -> Distribution:
    for levels in _LEVELS:

        def value(level: int, levels: int = levels) -> float:
            return rounded(quantile((level + 0.5) / levels))

        # Steps are narrowest, in digits, at an end or in the middle.
        starts = (0, levels // 2, levels - 2)
        if all(value(start) < value(start + 1) for start in starts):
            return Distribution({name: [first, second]}, levels, value, continuous=True)
    raise InvalidValue(f"{name}({first}, {second}) is too narrow")


#: Distributions by name.
DISTRIBUTIONS: Mapping[str, Callable[..., Distribution]] = {
    "uniform": _uniform,
    "loguniform": _loguniform,
    "normal": _normal,
    "randint": _randint,
    "choice": _choice,
}
