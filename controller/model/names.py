"""Names that are safe in paths, queue names and commands."""

from __future__ import annotations

import re

from ..errors import InvalidValue
from ..errors.text import quoted

#: Maximum length of a name, so that a path component stays below the limit of any file system.
LONGEST = 63

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,63}", re.ASCII)


def check_name(what: str, value: object) -> str:
    """Return ``value`` if it is a safe name.

    Args:
        what: the use of the name, for the error: ``label``, ``exp_id``, ``site``.
        value: the name.

    Raises:
        InvalidValue: it has other characters than ``A-Z a-z 0-9 . _ -``, is not 1 to 63
            characters long, is ``.`` or ``..``, or begins with ``-``.
    """
    if (
        not isinstance(value, str)
        or _SAFE.fullmatch(value) is None
        or value in {".", ".."}
        or value[0] == "-"
    ):
        raise InvalidValue(
            f"{quoted(value)} cannot be used as {what}",
            hint=f"use 1 to {LONGEST} letters, digits, dots, underscores and dashes, "
            "no dash in front",
        )
    return value
