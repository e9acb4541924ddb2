"""Expressions over named values, evaluated without Python's ``eval``."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import InvalidValue
from ..errors.text import quoted

_LONGEST = 2000
_MAX_BITS = 1024  # of a whole number; the range of a float
_UNITS = {
    "": 1,
    **{f"{unit}B": 1000**power for power, unit in enumerate(("", "k", "M", "G", "T", "P"))},
    **{f"{unit}iB": 1024**power for power, unit in enumerate(("K", "M", "G", "T", "P"), 1)},
    "KB": 1000,
}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kKMGTP]?i?B?)\s*", re.ASCII)
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)
_ARITHMETIC: Mapping[type[ast.operator | ast.unaryop], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
#: Functions of arithmetic, of numbers but for ``str``, ``int`` and ``float``.
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "float": float,
    "int": int,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
    "str": str,
}

Values = Mapping[str, Any]
_Term = Callable[[Values], Any]


class Expression:
    """An expression over named values, such as ``rate > 5 and mode == 'tcp'``.

    It consists of names, texts, numbers, True, False, lists of these, ``== != < <= > >= in``,
    ``not in``, ``and``, ``or``, ``not`` and parentheses. A name without a value differs from
    everything and has no order. A number is compared with a text as a number (``'4GB'`` is
    4 000 000 000, ``'4GiB'`` is 4 294 967 296), two texts that begin with digits as versions.

    With arithmetic there are also ``+ - * / // % **``, ``a if c else b`` and the functions
    ``abs ceil float floor int log log2 log10 max min round sqrt str``; a result that needs a name
    without a value is None. ``+`` joins two texts.

    Attributes:
        text: the expression.
        names: the names in it.
    """

    __slots__ = ("_term", "names", "text")

    def __init__(self, text: str, names: frozenset[str], term: _Term) -> None:
        self.text = text
        self.names = names
        self._term = term

    def __call__(self, values: Values) -> Any:
        """Return the value of the expression.

        Raises:
            InvalidValue: the arithmetic is impossible, such as a division by zero.
        """
        try:
            return self._term(values)
        except (ArithmeticError, TypeError, ValueError) as error:
            if isinstance(error, InvalidValue):
                raise
            raise InvalidValue(f"{quoted(self.text)} has no value: {error}") from None

    @classmethod
    def parse(cls, text: Any, about: str, example: str, *, arithmetic: bool = False) -> Expression:
        """Parse an expression.

        Args:
            text: the expression.
            about: the kind of its names, for errors, as ``"labels and facts"``.
            example: an expression, for the hint of errors.
            arithmetic: True to allow arithmetic.

        Raises:
            InvalidValue: it is not such an expression; the message gives the column, from 1.
        """
        if not isinstance(text, str) or not text.strip():
            raise InvalidValue(
                f"must be an expression over {about}", hint=f"write for instance {quoted(example)}"
            )
        if len(text) > _LONGEST:
            raise InvalidValue(f"must have at most {_LONGEST} characters")
        line = " ".join(text.splitlines()).rstrip()
        indent = len(line) - len(line.lstrip())
        try:
            tree = ast.parse(line.lstrip(), mode="eval")
            term = _Compiler(arithmetic).term(tree.body)
        except SyntaxError as error:
            # Python gives the end of the text as column 0.
            column = (error.offset or len(line) - indent + 1) + indent
            problem = f"must be an expression over {about}: column {column}: {error.msg}"
            raise InvalidValue(problem, hint=f"write for instance {quoted(example)}") from None
        except (ValueError, RecursionError, MemoryError):
            raise InvalidValue("must be a simpler expression") from None
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        names = {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and id(node) not in called
        }
        return cls(text.strip(), frozenset(names), term)


def equal(left: Any, right: Any) -> bool:
    """Return whether two values are equal as ``==`` of expressions is; None equals nothing."""
    if left is None or right is None:
        return False
    if isinstance(left, str) is not isinstance(right, str):
        numbers = _number(left), _number(right)
        return None not in numbers and numbers[0] == numbers[1]
    return bool(left == right)


class _Compiler:
    """A compiler that makes functions from the nodes of a parsed expression.

    Args:
        arithmetic: True to allow arithmetic.
    """

    def __init__(self, arithmetic: bool) -> None:
        self._kinds: dict[type[ast.expr], Callable[[Any], _Term | None]] = {
            ast.BoolOp: self._boolean,
            ast.Compare: self._comparison,
            ast.Constant: _constant,
            ast.List: self._sequence,
            ast.Name: _name,
            ast.Set: self._sequence,
            ast.Tuple: self._sequence,
            ast.UnaryOp: self._negation,
        }
        if arithmetic:
            self._kinds |= {
                ast.BinOp: self._operation,
                ast.Call: self._call,
                ast.IfExp: self._choice,
                ast.UnaryOp: lambda node: self._negation(node) or self._operation(node),
            }

    def term(self, node: ast.expr) -> _Term:
        """Return a function that evaluates an expression.

        Raises:
            SyntaxError: it is not possible here.
        """
        compile_node = self._kinds.get(type(node))
        term = None if compile_node is None else compile_node(node)
        if term is None:
            raise _refusal(f"{ast.unparse(node)[:40]} is not possible here", node)
        return term

    def _boolean(self, node: ast.BoolOp) -> _Term:
        terms = [self.term(item) for item in node.values]
        last = isinstance(node.op, ast.Or)  # the value of a term that decides

        def term(values: Values) -> bool:
            for item in terms:
                if bool(item(values)) is last:
                    return last
            return not last

        return term

    def _negation(self, node: ast.UnaryOp) -> _Term | None:
        if not isinstance(node.op, ast.Not):
            return None
        inner = self.term(node.operand)
        return lambda values: not inner(values)

    def _comparison(self, node: ast.Compare) -> _Term:
        terms = [self.term(item) for item in (node.left, *node.comparators)]
        if any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops):
            raise _refusal("write == instead of is", node)
        steps = list(
            zip([_COMPARISONS[type(op)] for op in node.ops], terms, terms[1:], strict=False)
        )

        if len(steps) == 1:
            [(compared, left, right)] = steps
            return lambda values: compared(left(values), right(values))
        return lambda values: all(
            compared(left(values), right(values)) for compared, left, right in steps
        )

    def _sequence(self, node: ast.List | ast.Set | ast.Tuple) -> _Term:
        items = [self.term(item) for item in node.elts]
        return lambda values: [item(values) for item in items]

    def _choice(self, node: ast.IfExp) -> _Term:
        test, body, orelse = map(self.term, (node.test, node.body, node.orelse))
        return lambda values: body(values) if test(values) else orelse(values)

    def _operation(self, node: ast.BinOp | ast.UnaryOp) -> _Term | None:
        operands = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        function = _ARITHMETIC.get(type(node.op))
        return None if function is None else self._applied(function, operands)

    def _call(self, node: ast.Call) -> _Term | None:
        if not isinstance(node.func, ast.Name) or node.keywords:
            return None
        if node.func.id not in _FUNCTIONS:
            raise _refusal(f"there is no function {node.func.id}", node)
        return self._applied(_FUNCTIONS[node.func.id], node.args)

    def _applied(self, function: Callable[..., Any], operands: Sequence[ast.expr]) -> _Term:
        terms = [self.term(item) for item in operands]

        def term(values: Values) -> Any:
            arguments = [item(values) for item in terms]
            return None if None in arguments else _result(function, arguments)

        return term


def _constant(node: ast.Constant) -> _Term | None:
    constant = node.value
    return (lambda _: constant) if isinstance(constant, (str, int, float)) else None


def _name(node: ast.Name) -> _Term:
    name = node.id
    return lambda values: values.get(name)


def _refusal(problem: str, node: ast.expr) -> SyntaxError:
    return SyntaxError(problem, ("", 1, node.col_offset + 1, ""))


def _result(function: Callable[..., Any], arguments: list[Any]) -> Any:
    texts = sum(isinstance(item, str) for item in arguments)
    if texts and function not in (str, int, float):
        joined = function is operator.add and texts == len(arguments)
        if not joined:
            shown = ", ".join(quoted(item) for item in arguments)
            raise InvalidValue(f"cannot compute with text: {shown}")
    if function is operator.pow:
        base, exponent = arguments
        if isinstance(base, int) and base.bit_length() * abs(exponent) > _MAX_BITS:
            raise InvalidValue(f"{base} ** {exponent} is too large")
    return function(*arguments)


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Return a comparison of numbers, versions and texts that is False without an order."""

    def compared(left: Any, right: Any) -> bool:
        if left is None or right is None:
            return False
        pair: tuple[Any, Any] = (left, right)
        if not (isinstance(left, str) and isinstance(right, str)):
            pair = (_number(left), _number(right))
        elif _VERSION.match(left):
            pair = (_version(left), _version(right))
        return None not in pair and test(*pair)

    return compared


def _within(item: Any, values: Any) -> bool:
    if item is None or values is None:
        return False
    if isinstance(values, str):
        return isinstance(item, str) and item in values
    return isinstance(values, list) and any(equal(item, value) for value in values)


_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: equal,
    ast.NotEq: lambda left, right: not equal(left, right),
    ast.In: _within,
    ast.NotIn: lambda item, values: not _within(item, values),
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
}


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
