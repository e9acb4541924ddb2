"""Axes: the values of one parameter, as lists or computed from a rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ...errors import InvalidValue, near_misses
from ...errors.text import quoted
from .calls import parse_call
from .points import canonical, check_value


class Axis:
    """The values of one parameter, in order.

    Args:
        document: the JSON form: a list of values, or ``{rule: arguments}``.
        length: number of values.
        value: function of the index that returns a value.
    """

    __slots__ = ("_value", "document", "length")

    def __init__(self, document: Any, length: int, value: Callable[[int], Any]) -> None:
        self.document = document
        self.length = length
        self._value = value

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self._value(index)

    def __iter__(self) -> Iterator[Any]:
        return (self._value(index) for index in range(self.length))

    def without_repetition(self) -> Axis:
        """Return the axis without values that are equal to an earlier one."""
        if isinstance(self.document, dict):
            return self
        first: dict[str, Any] = {}
        for value in self:
            first.setdefault(canonical(value), value)
        return self if len(first) == self.length else _of_list(list(first.values()))

    @classmethod
    def of(cls, values: Any) -> Axis:
        """Return the axis that users wrote.

        Args:
            values: a list, a Python range, a NumPy array, a rule as text (``range(1, 9)``,
                ``linspace(0, 1, 11)``, ``logspace(0, 3, 4)``, ``geomspace(1, 1000, 4)``) or as
                ``{name: arguments}``, or a single value.

        Raises:
            InvalidValue: a value or an argument is refused, or there is no value.
        """
        if isinstance(values, range):
            return _range(values.start, values.stop, values.step)
        if isinstance(values, str):
            name, arguments = parse_call(values, RULES)
            if name:
                return _of_rule(name, arguments)
        if isinstance(values, Mapping):
            if len(values) != 1 or not values.keys() <= RULES.keys():
                name = str(next(iter(values), ""))
                raise InvalidValue(
                    f"{quoted(name)} is not a rule for values",
                    hint=near_misses(name, RULES) + "; put a value that is a mapping into a list",
                )
            [(name, arguments)] = values.items()
            return _of_rule(name, arguments if isinstance(arguments, list) else [arguments])
        if hasattr(values, "tolist"):
            values = values.tolist()
        items = values if isinstance(values, (list, tuple)) else [values]
        if not items:
            raise InvalidValue("there are no values")
        return _of_list([check_value(item) for item in items])


def _of_list(values: Sequence[Any]) -> Axis:
    return Axis(list(values), len(values), values.__getitem__)


def _of_rule(name: str, arguments: Sequence[Any]) -> Axis:
    for argument in arguments:
        if isinstance(argument, bool) or not isinstance(check_value(argument), (int, float)):
            raise InvalidValue(f"{name} takes numbers, not {quoted(argument)}")
    try:
        return RULES[name](*arguments)
    except TypeError:
        raise InvalidValue(
            f"{name} cannot take {len(arguments)} arguments", hint=f"write {_USAGE[name]}"
        ) from None


def _range(start: float, stop: float | None = None, step: float = 1) -> Axis:
    """Return the numbers from ``start`` by steps, without ``stop``, as ``range`` of Python."""
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise InvalidValue("the step of a range cannot be 0")
    document = {"range": [start, stop, step]}
    if all(isinstance(number, int) for number in (start, stop, step)):
        whole = range(int(start), int(stop), int(step))
        axis = Axis(document, len(whole), whole.__getitem__)
    else:
        # In decimals, so that range(0, 1, 0.1) has 0.3 and not 0.30000000000000004.
        first, last, width = (Decimal(repr(number)) for number in (start, stop, step))
        length = max(math.ceil((last - first) / width), 0)
        axis = Axis(document, length, lambda index: _whole(float(first + index * width)))
    if not axis.length:
        raise InvalidValue(f"range({start}, {stop}, {step}) has no values")
    return axis


def rounded(number: float) -> float:
    """Return a number with 12 significant digits, the same on machines with other libraries.

    Raises:
        InvalidValue: it is not finite.
    """
    return float(check_value(float(f"{number:.12g}")))


def _whole(number: float) -> float:
    """Return a whole number as such, which attributes that are one require."""
    return int(number) if number.is_integer() else number


def _spaced(
    name: str, start: float, stop: float, count: float, value: Callable[[float], float]
) -> Axis:
    if not isinstance(count, int) or count < 1:
        raise InvalidValue(f"{name} cannot have {quoted(count)} values", hint=f"as {_USAGE[name]}")

    def at(index: int) -> float:
        try:
            share = index / (count - 1) if count > 1 else 0.0
            return _whole(rounded(value(start + (stop - start) * share)))
        except OverflowError:
            raise InvalidValue("must be a smaller number") from None

    if count > 1 and start == stop:
        raise InvalidValue(f"{name} needs two different ends for {count} values")
    at(0), at(count - 1)  # Refuse what is not finite.
    return Axis({name: [start, stop, count]}, count, at)


def _linspace(start: float, stop: float, count: float) -> Axis:
    return _spaced("linspace", start, stop, count, float)


def _logspace(start: float, stop: float, count: float) -> Axis:
    return _spaced("logspace", start, stop, count, lambda exponent: 10.0**exponent)


def _geomspace(start: float, stop: float, count: float) -> Axis:
    if start <= 0 or stop <= 0:
        raise InvalidValue("geomspace needs two positive ends")
    axis = _spaced("geomspace", math.log(start), math.log(stop), count, math.exp)
    return Axis({"geomspace": [start, stop, count]}, axis.length, axis.__getitem__)


#: Rules for values by name, as in NumPy.
RULES: Mapping[str, Callable[..., Axis]] = {
    "range": _range,
    "linspace": _linspace,
    "logspace": _logspace,
    "geomspace": _geomspace,
}
_USAGE = {
    "range": "range(START, STOP) or range(START, STOP, STEP)",
    "linspace": "linspace(START, STOP, COUNT)",
    "logspace": "logspace(FIRST EXPONENT, LAST EXPONENT, COUNT)",
    "geomspace": "geomspace(START, STOP, COUNT)",
}
