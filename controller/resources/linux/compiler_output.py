"""Messages in the output of compilers, linkers and the like."""

from __future__ import annotations

import re

_ERROR = re.compile(
    r"error|undefined reference|cannot|failed|No space left|: \*\*\* ", re.IGNORECASE
)

# With file and line, as "main.c:3:5: error: ..." of gcc and clang.
_PLACED = re.compile(r"^\S[^:]*:\d+(:\d+)?: (.*error|\*\*\* )", re.IGNORECASE)


def first_errors(output: str) -> str:
    """Return the first messages that are errors, on one line; those with file and line first."""
    lines = [line.strip() for line in output.splitlines()]
    errors = [line for line in lines if _ERROR.search(line) and not line.startswith("collect2:")]
    placed = [line for line in errors if _PLACED.search(line)]
    return "; ".join((placed or errors or lines[-2:])[:3])
