"""Figures of resources as text: what measuring tools have found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import NepiqError
from ..errors.text import one_line
from ..model import registry
from ..model.figures import Figure
from .words import number

if TYPE_CHECKING:
    from ..engine.store.records import ResourceRecord

_WITH_PREFIX = ("bit/s", "B")
"""Units that take a prefix, as in Mbit/s."""

_LONGEST = 30  # characters of a value


def figures(records: Iterable[ResourceRecord]) -> Iterator[tuple[str, str]]:
    """Yield label and figures of each resource that has some: ``sent 5, rttAvg 40.3 ms``.

    Types that are not known here are left out.
    """
    for record in records:
        with suppress(NepiqError):
            cls = registry.find(record.rtype)
            shown = [
                f"{name} {_text(record.attributes[name], attribute.unit)}"
                for name, attribute in cls.attributes.items()
                if isinstance(attribute, Figure) and record.attributes.get(name) is not None
            ]
            if shown:
                yield record.label, ", ".join(shown)


def _text(value: Any, unit: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return one_line(str(value), _LONGEST)
    if not unit:
        return str(value) if isinstance(value, int) else number(value)
    amount, _, prefix = number(value).partition(" ")
    joint = "" if unit in _WITH_PREFIX else " "
    return f"{amount} {prefix}{joint if prefix else ''}{unit}"
