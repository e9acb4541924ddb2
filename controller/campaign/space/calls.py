"""Rules for values that users write as calls, such as ``range(1, 9)``."""

from __future__ import annotations

import ast
import re
from collections.abc import Container
from typing import Any

from ...errors import InvalidValue
from ...errors.text import quoted

_CALL = re.compile(r"\s*([a-z]+)\s*\(.*\)\s*", re.DOTALL)
_WORDS = {"true": True, "false": False, "null": None}


def parse_call(text: str, names: Container[str]) -> tuple[str, list[Any]]:
    """Return the name and the arguments of a call; an empty name if the text is not one of them.

    Arguments are numbers, texts with or without quotes, True, False, and lists of these.

    Args:
        text: the text.
        names: the names that can be called.

    Raises:
        InvalidValue: an argument is something else.
    """
    match = _CALL.fullmatch(text)
    if match is None or match[1] not in names:
        return "", []
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Call) and not node.keywords:
            return match[1], [_literal(item) for item in node.args]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise InvalidValue(f"{quoted(text)} cannot be read", hint="write numbers, texts or lists in it")


def _literal(node: ast.expr) -> Any:
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Name):
        return _WORDS.get(node.id, node.id)
    return ast.literal_eval(node)
