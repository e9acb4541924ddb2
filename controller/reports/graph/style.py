"""Colours of pictures, each for a light and a dark background."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple


class Colour(NamedTuple):
    """One colour.

    Attributes:
        light: on a light background.
        dark: on a dark one.
    """

    light: str
    dark: str


#: What surrounds the rest.
GROUND: Mapping[str, Colour] = {
    "page": Colour("#ffffff", "#0d1117"),
    "ink": Colour("#1f2933", "#e6edf3"),
    "faint": Colour("#5b6875", "#98a4b3"),
    "host": Colour("#f5f7fa", "#161b22"),
    "rim": Colour("#c5ced8", "#3a434e"),
    "link": Colour("#8a97a5", "#6b7785"),
}

#: Conditions by the action that waits.
ACTIONS: Mapping[str, Colour] = {
    "DEPLOY": Colour("#7a5af8", "#a594ff"),
    "START": Colour("#0b72b9", "#58aef0"),
    "STOP": Colour("#b4540a", "#f0a05a"),
}

#: States of resources.
STATES: Mapping[str, Colour] = {
    "NEW": Colour("#7b8794", "#8b98a5"),
    "DISCOVERED": Colour("#7a5af8", "#a594ff"),
    "RESERVED": Colour("#7a5af8", "#a594ff"),
    "PROVISIONED": Colour("#7a5af8", "#a594ff"),
    "READY": Colour("#0e7c86", "#4fc3cd"),
    "STARTED": Colour("#1a7f37", "#4fc56b"),
    "STOPPED": Colour("#35507a", "#8fb0e3"),
    "FINISHED": Colour("#0b5cad", "#6cb0f5"),
    "FAILED": Colour("#c81e1e", "#ff7b72"),
    "RELEASED": Colour("#5b6875", "#98a4b3"),
}

#: Types of resources: each has one of these, by its name.
_FILLS = (
    Colour("#dcebfa", "#14304d"),
    Colour("#e0f4e4", "#15381f"),
    Colour("#fdeed8", "#46300f"),
    Colour("#ece5fd", "#2d2353"),
    Colour("#fbe3ea", "#4a1d2d"),
    Colour("#d9f2f2", "#103b3d"),
    Colour("#f3efcf", "#3d3810"),
)
_KNOWN: Mapping[str, int] = {"linux::Node": 5, "linux::Application": 0, "nepiq::Null": 3}


def fill_number(rtype: str) -> int:
    """Which of the fills a type has; the same in every picture."""
    return _KNOWN.get(rtype, zlib.crc32(rtype.encode()) % len(_FILLS))


def fill(rtype: str) -> Colour:
    """The colour of resources of a type."""
    return _FILLS[fill_number(rtype)]


def fills() -> tuple[Colour, ...]:
    """All colours that types may have."""
    return _FILLS
