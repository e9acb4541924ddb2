"""Names that end up in paths, queue names and commands, and are safe in all of them."""

from __future__ import annotations

import re

from ..errors import InvalidValue
from ..errors.text import quoted

#: Longest name, in characters; with it a path component stays below any file system's limit.
LONGEST = 63

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,63}", re.ASCII)


def check_name(what: str, value: object) -> str:
    """Return ``value`` if it is a safe name.

    Args:
        what: what it names, for the error: ``label``, ``exp_id``, ``site``.
        value: the name.

    Raises:
        InvalidValue: it is not 1 to 63 characters out of ``A-Z a-z 0-9 . _ -``, or it is ``.``
            or ``..``, or it begins with ``-``.
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
