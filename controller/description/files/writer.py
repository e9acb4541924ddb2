"""Writing a description as the text of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from ...errors import InvalidValue
from ...errors.text import quoted
from ...model.attributes import Flag
from ...model.durations import seconds
from ...model.resource import ResourceManager
from ..conditions import Condition
from ..description import Description
from ..resource import Resource
from . import json_format, yaml_format
from .schema import RESERVED, VERSION

_FORMATS = {"yaml": yaml_format.dump, "json": json_format.dump}
_NOT_WRITTEN = Flag.NO_WRITE | Flag.GLOBAL
_CONDITIONAL = ("deploy", "start", "stop")


def write(description: Description, format: str) -> str:  # noqa: A002 - as in save
    """A description as text; equal descriptions give equal text.

    Args:
        description: the description.
        format: ``yaml`` or ``json``.

    Raises:
        InvalidValue: there is no such format to write.
    """
    dump = _FORMATS.get(format)
    if dump is None:
        raise InvalidValue(f"format {quoted(format)} is not written", hint="use yaml or json")
    return dump(_document(description))


def _document(description: Description) -> dict[str, Any]:
    shared = description.all_globals()
    data: dict[str, Any] = {"nepiq": VERSION, "exp_id": description.exp_id}
    if shared:
        data["globals"] = shared
    resources = data["resources"] = {}
    following = 1
    for item in description.resources():
        if item.cls.internal:
            continue
        given = shared.get(item.cls.rtype, {})
        resources[item.label] = _resource(description, item, given, following)
        following = max(following, item.guid + 1)
    return data


def _resource(
    description: Description, item: Resource, given: dict[str, Any], following: int
) -> dict[str, Any]:
    data: dict[str, Any] = {"type": item.cls.rtype}
    # Readers count on as this does, so a number is written only where it is another.
    if item.guid != following:
        data["guid"] = item.guid
    nested: dict[str, dict[str, Any]] = {"attributes": {}, "connections": {}}
    for name in [*item.cls.connections, *sorted(item.peers.keys() - item.cls.connections.keys())]:
        labels = [description.label(guid) for guid in item.peers.get(name, ())]
        if labels:
            place = nested["connections"] if name in RESERVED else data
            place[name] = labels[0] if len(labels) == 1 else labels
    for name, value in _attributes(item, given):
        (nested["attributes"] if name in RESERVED else data)[name] = value
    data.update((name, values) for name, values in nested.items() if values)
    for action in _CONDITIONAL:
        conditions = [cond for cond in item.conds if cond.action.value == action]
        written = [
            _condition(description, list(alike))
            for _, alike in groupby(conditions, key=lambda cond: (cond.milestone.name, cond.offset))
        ]
        if written:
            data[action] = written[0] if len(written) == 1 else written
    return data


def _attributes(item: Resource, given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The attributes of which a reader would not know: the type's own first."""
    declared = item.cls.attributes
    common = ResourceManager.attributes or {}
    own = [name for name in declared if name not in common]
    rest = [name for name in declared if name in common]
    for name in [*own, *rest, *sorted(item.attrs.keys() - declared.keys())]:
        attribute = declared.get(name)
        default = None if attribute is None else attribute.default
        if attribute is not None and attribute.flags & _NOT_WRITTEN:
            continue
        value = item.attrs.get(name, default)
        if value != given.get(name, default):
            yield name, value


def _condition(description: Description, alike: Sequence[Condition]) -> dict[str, Any]:
    labels = [description.label(cond.target) for cond in alike]
    data = yaml_format.Line(
        after=labels[0] if len(labels) == 1 else labels, state=alike[0].milestone.name
    )
    if alike[0].offset:
        data["delay"] = _delay(alike[0].offset)
    return data


def _delay(offset: float) -> str | float:
    """A duration that reads as exactly this number of seconds."""
    for text in (f"{offset:.0f}s", f"{offset * 1e3:.0f}ms"):
        if seconds(text) == offset:
            return text
    return offset
