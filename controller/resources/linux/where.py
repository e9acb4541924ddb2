"""Expressions that choose hosts of a pool by labels and facts."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import InvalidValue
from ...errors.text import quoted

_LONGEST = 2000
_UNITS = {
    "": 1,
    **{f"{unit}B": 1000**power for power, unit in enumerate(("", "k", "M", "G", "T", "P"))},
    **{f"{unit}iB": 1024**power for power, unit in enumerate(("K", "M", "G", "T", "P"), 1)},
    "KB": 1000,
}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kKMGTP]?i?B?)\s*", re.ASCII)
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)
_ORDER: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}

Values = Mapping[str, Any]
_Term = Callable[[Values], Any]


class Where:
    """A condition on the labels and facts of a host.

    Users write an expression, as ``arch == 'x86_64' and memory >= '4GB'``, or a mapping of labels
    to values. An expression consists of names, texts, numbers, True, False, lists of these,
    ``== != < <= > >= in``, ``not in``, ``and``, ``or``, ``not`` and parentheses. A name without
    a value differs from everything and has no order. A number is compared with a text as a number
    (``'4GB'`` is 4 000 000 000, ``'4GiB'`` is 4 294 967 296), two texts that begin with digits as
    versions.

    Attributes:
        text: the condition as text.
        names: the labels and facts that it refers to.
    """

    __slots__ = ("_term", "names", "text")

    def __init__(self, text: str, names: frozenset[str], term: _Term) -> None:
        self.text = text
        self.names = names
        self._term = term

    def __str__(self) -> str:
        """Return the condition as text."""
        return self.text

    def matches(self, values: Values) -> bool:
        """Return whether a host with these labels and facts fulfils the condition."""
        return bool(self._term(values))

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
            return cls("", frozenset(), lambda _: True)
        if len(value) > _LONGEST:
            raise InvalidValue(f"must have at most {_LONGEST} characters")
        text = " ".join(value.splitlines()).rstrip()
        indent = len(text) - len(text.lstrip())
        try:
            tree = ast.parse(text.lstrip(), mode="eval")
        except SyntaxError as error:
            # Python gives the end of the text as column 0.
            column = (error.offset or len(text) - indent + 1) + indent
            raise _problem(error.msg, column) from None
        except (ValueError, RecursionError, MemoryError):
            raise InvalidValue("must be a simpler expression") from None
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        try:
            term = _Compiler(indent + 1).term(tree.body)
        except RecursionError:
            raise InvalidValue("must be a simpler expression") from None
        return cls(value.strip(), frozenset(names), term)

    @classmethod
    def _of_labels(cls, labels: Mapping[str, Any]) -> Where:
        wanted = dict(labels)
        for name, item in wanted.items():
            if not isinstance(item, (str, int, float)):
                raise InvalidValue(f"must compare {quoted(name)} with text, a number or True")
        text = " and ".join(f"{name} == {item!r}" for name, item in wanted.items())

        def term(values: Values) -> bool:
            return all(_equal(values.get(name), item) for name, item in wanted.items())

        return cls(text, frozenset(wanted), term)


def _problem(what: str, column: int) -> InvalidValue:
    return InvalidValue(
        f"must be an expression over labels and facts: column {column}: {what}",
        hint="write for instance \"arch == 'x86_64' and memory >= '4GB'\"",
    )


class _Compiler:
    """Makes functions that evaluate expressions.

    Args:
        first: the column of the first character of the text.
    """

    def __init__(self, first: int) -> None:
        self._first = first

    def term(self, node: ast.expr) -> _Term:
        """Return a function that evaluates an expression."""
        if isinstance(node, ast.BoolOp):
            terms = [self.term(item) for item in node.values]
            test = all if isinstance(node.op, ast.And) else any
            return lambda values: test(bool(term(values)) for term in terms)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.term(node.operand)
            return lambda values: not inner(values)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.Name):
            name = node.id
            return lambda values: values.get(name)
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            items = [self.term(item) for item in node.elts]
            return lambda values: [item(values) for item in items]
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float)):
            constant = node.value
            return lambda _: constant
        raise self._problem(f"{ast.unparse(node)[:40]} is not possible here", node)

    def _comparison(self, node: ast.Compare) -> _Term:
        terms = [self.term(item) for item in (node.left, *node.comparators)]
        if any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops):
            raise self._problem("write == instead of is", node)
        steps = list(zip(node.ops, terms, terms[1:], strict=False))

        def term(values: Values) -> bool:
            return all(_compared(op, left(values), right(values)) for op, left, right in steps)

        return term

    def _problem(self, what: str, node: ast.expr) -> InvalidValue:
        return _problem(what, node.col_offset + self._first)


def _compared(op: ast.cmpop, left: Any, right: Any) -> bool:
    if isinstance(op, (ast.In, ast.NotIn)):
        return _within(left, right) is isinstance(op, ast.In)
    if isinstance(op, (ast.Eq, ast.NotEq)):
        return _equal(left, right) is isinstance(op, ast.Eq)
    if left is None or right is None:
        return False
    pair: tuple[Any, Any] = (left, right)
    if not (isinstance(left, str) and isinstance(right, str)):
        pair = (_number(left), _number(right))
    elif _VERSION.match(left):
        pair = (_version(left), _version(right))
    if None in pair:
        return False
    return _ORDER[type(op)](*pair)


def _within(item: Any, values: Any) -> bool:
    if item is None or values is None:
        return False
    if isinstance(values, str):
        return isinstance(item, str) and item in values
    return isinstance(values, list) and any(_equal(item, value) for value in values)


def _equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False
    if isinstance(left, str) is not isinstance(right, str):
        numbers = _number(left), _number(right)
        return None not in numbers and numbers[0] == numbers[1]
    return bool(left == right)


def _number(value: Any) -> float | None:
    """Return a number, or the quantity in a text; None if it is neither."""
    if isinstance(value, (int, float)):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    unit = match[2] if match[2] in _UNITS else f"{match[2]}B"
    return float(match[1]) * _UNITS[unit] if unit in _UNITS else None


def _version(text: str) -> list[int] | None:
    match = _VERSION.match(text)
    return None if match is None else [int(part) for part in match[0].split(".")]
