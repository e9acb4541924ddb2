"""Attribute values as they are stored: as a rule, those that differ from the default."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from ..errors import UnknownAttribute
from ..model.attributes import Attribute
from ..model.resource import ResourceManager


class TypeDefaults:
    """Values that new resources of a type get for attributes that are not given."""

    def __init__(self) -> None:
        self._stored: dict[str, dict[str, Any]] = {}

    def get(self, cls: type[ResourceManager], name: str) -> Any:
        """Return the value of an attribute as users write it."""
        attribute = declared(cls, name, cls.rtype)
        attribute.check_readable(cls.rtype)
        return self._stored.get(cls.rtype, {}).get(name, attribute.default)

    def set(self, cls: type[ResourceManager], name: str, value: Any) -> None:
        """Set the value of an attribute; None takes it back to the default of the type."""
        attribute = declared(cls, name, cls.rtype)
        stored = attribute.check(value, cls.rtype)
        keep(self._stored.setdefault(cls.rtype, {}), attribute, stored)

    def all(self) -> dict[str, dict[str, Any]]:
        """Return the stored values by type and name."""
        return {rtype: dict(values) for rtype, values in self._stored.items() if values}

    def copy(self) -> TypeDefaults:
        """Return the same values; nothing is shared."""
        other = TypeDefaults()
        other._stored = deepcopy(self._stored)
        return other

    def initial(self, cls: type[ResourceManager], settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the stored values of a new resource: those of its type, and its own.

        Raises:
            UnknownAttribute: the type has no such attribute or connection.
            InvalidValue: a value is refused.
            NotAllowed: an attribute may not be set by users.
        """
        attrs = dict(self._stored.get(cls.rtype, ()))
        for name, value in settings.items():
            if name not in cls.attributes:
                raise UnknownAttribute(name, [*cls.attributes, *cls.connections], where=cls.rtype)
            attribute = cls.attributes[name]
            attribute.check_writable(cls.rtype)
            if value is not None:
                keep(attrs, attribute, attribute.check(value, cls.rtype))
        return attrs


def declared(cls: type[ResourceManager], name: str, where: str) -> Attribute[Any]:
    """Return an attribute as a type declares it.

    Raises:
        UnknownAttribute: the type has no such attribute.
    """
    attribute = cls.attributes.get(name)
    if attribute is None:
        raise UnknownAttribute(name, cls.attributes, where=where)
    return attribute


def keep(attrs: dict[str, Any], attribute: Attribute[Any], stored: Any) -> None:
    """Put a value into ``attrs``, or take it out if it is the default and need not be kept."""
    if stored is None or (stored == attribute.default and not attribute.keeps_default):
        attrs.pop(attribute.name, None)
    else:
        attrs[attribute.name] = stored
