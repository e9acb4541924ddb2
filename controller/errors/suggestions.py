"""Suggestions: the valid names that are similar to an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .text import LONGEST_VALUE, one_line, quoted

# Among more names, only those of similar length and with the same first letter are compared.
_MOST_COMPARED = 2000


def near_misses(name: object, known: Iterable[object]) -> str:
    """Return a hint with the valid names similar to an unknown one, or else with the first names.

    Args:
        name: the unknown name.
        known: the valid names; the hint is empty if there are none.
    """
    names = sorted(str(item) for item in known)
    text = name if isinstance(name, str) else quoted(name)
    near = []
    # A comparison takes the product of the lengths; a name of such a length is not a typing error.
    if len(text) <= LONGEST_VALUE:
        short = [item for item in names if len(item) <= LONGEST_VALUE]
        if len(short) > _MOST_COMPARED:
            candidates = (item for item in short if item[:1] == text[:1])
            short = [item for item in candidates if abs(len(item) - len(text)) <= 2][
                :_MOST_COMPARED
            ]
        near = difflib.get_close_matches(text, short, n=3, cutoff=0.5)
    if near:
        # Names that are similar only by a common prefix such as linux:: would be misleading.
        ratios = [difflib.SequenceMatcher(None, item, text).ratio() for item in near]
        near = [item for item, ratio in zip(near, ratios, strict=True) if ratio > ratios[0] - 0.2]
        return "did you mean " + " or ".join(quoted(item) for item in near) + "?"
    if not names:
        return ""
    first = (one_line(item, LONGEST_VALUE) for item in names[:12])
    return "known: " + ", ".join(first) + (", ..." if len(names) > 12 else "")
