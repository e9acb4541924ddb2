"""Writer of description files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from ...errors import InvalidValue
from ...errors.text import quoted
from ...model.attributes import Flag
from ...model.durations import seconds
from ...model.parameters import Parameter
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
    """Return a description as text; the text of equal descriptions is equal.

    Args:
        description: the description.
        format: ``yaml`` or ``json``.

    Raises:
        InvalidValue: the format cannot be written.
    """
    dump = _FORMATS.get(format)
    if dump is None:
        raise InvalidValue(f"format {quoted(format)} cannot be written", hint="use yaml or json")
    return dump(document_of(description))


def document_of(description: Description) -> dict[str, Any]:
    """Return a description as plain data, with the keys of a file."""
    global_values = description.all_globals()
    data: dict[str, Any] = {"nepiq": VERSION, "exp_id": description.exp_id}
    if global_values:
        data["globals"] = global_values
    resources = data["resources"] = {}
    next_guid = 1
    for item in description.resources():
        if item.cls.internal:
            continue
        defaults = global_values.get(item.cls.rtype, {})
        resources[item.label] = _resource(description, item, defaults, next_guid)
        next_guid = max(next_guid, item.guid + 1)
    return data


def _resource(
    description: Description, item: Resource, defaults: dict[str, Any], next_guid: int
) -> dict[str, Any]:
    data: dict[str, Any] = {"type": item.cls.rtype}
    # The reader numbers resources in the same way, so only a different guid is written.
    if item.guid != next_guid:
        data["guid"] = item.guid
    nested: dict[str, dict[str, Any]] = {"attributes": {}, "connections": {}}
    slots = item.cls.connections
    for name in [*slots, *sorted(item.peers.keys() - slots.keys())]:
        if name in slots and slots[name].beside:
            continue  # the deployment makes it
        labels = [description.label(guid) for guid in item.peers.get(name, ())]
        if labels:
            parent = nested["connections"] if name in RESERVED else data
            parent[name] = labels[0] if len(labels) == 1 else labels
    for name, value in _attributes(item, defaults):
        (nested["attributes"] if name in RESERVED else data)[name] = value
    data.update((name, values) for name, values in nested.items() if values)
    for action in _CONDITIONAL:
        conditions = [cond for cond in item.conds if cond.action.value == action]
        entries = [
            _condition(description, list(group))
            for _, group in groupby(conditions, key=lambda cond: (cond.milestone.name, cond.offset))
        ]
        if entries:
            data[action] = entries[0] if len(entries) == 1 else entries
    return data


def _attributes(item: Resource, defaults: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the attributes that differ from their default, the type's own first."""
    others = sorted(item.attrs.keys() - item.cls.attributes.keys())
    names = _written(item.cls)  # type: ignore[arg-type]  # a class can be hashed
    keeping = {name for name, it in item.cls.attributes.items() if it.keeps_default}
    for name, default in (*names, *((name, None) for name in others)):
        value = item.attrs.get(name, default)
        if isinstance(value, Parameter):
            value = str(value)
        given = name in item.attrs and name not in defaults and name in keeping
        if given or value != defaults.get(name, default):
            yield name, value


@lru_cache(512)
def _written(cls: type[ResourceManager]) -> tuple[tuple[str, Any], ...]:
    """Return names and defaults of the attributes that a file may have, the type's own first."""
    bases = cls.__mro__
    attributes = sorted(
        cls.attributes.items(),
        key=lambda item: [item[0] in vars(base) for base in bases].index(True),
    )
    return tuple(
        (name, attribute.default)
        for name, attribute in attributes
        if not attribute.flags & _NOT_WRITTEN
    )


def _condition(description: Description, group: Sequence[Condition]) -> dict[str, Any]:
    labels = [description.label(cond.target) for cond in group]
    data = yaml_format.Line(
        after=labels[0] if len(labels) == 1 else labels, state=group[0].milestone.name
    )
    if group[0].offset:
        data["delay"] = _delay(group[0].offset)
    return data


def _delay(offset: float) -> str | float:
    """Return a duration that is parsed as exactly this number of seconds."""
    for text in (f"{offset:.0f}s", f"{offset * 1e3:.0f}ms"):
        if seconds(text) == offset:
            return text
    return offset
