"""The TypeId registry of ns-3: which types there are, with their attributes and trace sources.

``types.json`` beside this module is what ``simulator types`` writes (simulator/registry.h) with the
version of ns-3 that constraints.txt pins. tools/ns3_types.py writes it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

_GET, _SET, _CONSTRUCT = 1, 2, 4


class AttributeInfo(NamedTuple):
    """An attribute of a type of ns-3.

    Attributes:
        kind: the class of its values, ``ns3::UintegerValue``.
        values: the possible values, as ns-3 writes them: ``uint32_t 0:4294967295``, ``A|B``.
        default: the value if it is not set, as ns-3 writes it.
        help: its meaning.
        settable: True if it can be set after the object was created.
        constructs: True if it can be given when the object is created.
        obsolete: True if ns-3 deprecates it.
    """

    kind: str
    values: str
    default: str
    help: str
    settable: bool
    constructs: bool
    obsolete: bool


class TraceSource(NamedTuple):
    """A trace source of a type of ns-3.

    Attributes:
        callback: the name of its signature.
        help: its meaning.
    """

    callback: str
    help: str


class TypeInfo(NamedTuple):
    """A type of ns-3 of which objects can be made.

    Attributes:
        name: the name of the TypeId.
        group: the module of ns-3.
        bases: the names of the types it is derived from, the nearest first.
        attributes: its attributes, inherited ones included.
        traces: its trace sources, inherited ones included.
    """

    name: str
    group: str
    bases: tuple[str, ...]
    attributes: Mapping[str, AttributeInfo]
    traces: Mapping[str, TraceSource]

    def is_a(self, base: str) -> bool:
        """Return whether it is that type or derived from it."""
        return base == self.name or base in self.bases


@lru_cache(maxsize=1)
def _registry() -> dict[str, Any]:
    text = files(__package__).joinpath("types.json").read_text(encoding="utf-8")
    registry: dict[str, Any] = json.loads(text)
    return registry


def version() -> str:
    """Return the version of ns-3 that the registry describes, as ``3.44``."""
    text: str = _registry()["version"]
    return text


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Return the names of all types, sorted."""
    return tuple(sorted(_registry()["types"]))


@cache
def find(name: str) -> TypeInfo:
    """Return a type by the name of its TypeId.

    Raises:
        KeyError: there is no such type.
    """
    entry = _registry()["types"][name]
    return TypeInfo(
        name,
        entry["group"],
        tuple(entry["bases"]),
        {name: _attribute(item) for name, item in entry["attributes"].items()},
        {name: TraceSource(**item) for name, item in entry["traces"].items()},
    )


def _attribute(entry: Mapping[str, Any]) -> AttributeInfo:
    flags = int(entry["flags"])
    return AttributeInfo(
        kind=entry["kind"],
        values=entry.get("values", ""),
        default=entry["default"],
        help=entry["help"],
        settable=bool(flags & _SET and entry["set"]),
        constructs=bool(flags & _CONSTRUCT),
        obsolete=bool(entry["obsolete"]),
    )
