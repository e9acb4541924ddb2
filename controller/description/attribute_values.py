"""The attributes of the resources of an experiment, and what they are for new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import TraceNotFound, UnknownAttribute
from ..model import registry
from ..model.attributes import Attribute
from ..model.resource import ResourceManager
from .roster import Roster, Target, locked


class Assignments(Roster):
    """Resources whose attributes are read and set as users write them."""

    def __init__(self) -> None:
        super().__init__()
        self._globals: dict[str, dict[str, Any]] = {}

    def get(self, target: Target, name: str, attrs: Mapping[str, Any] | None = None) -> Any:
        """The value of an attribute as users write it.

        Args:
            target: the resource.
            name: the attribute.
            attrs: its stored values, if they are known better than here.

        Raises:
            UnknownAttribute: the type has no such attribute.
            NotAllowed: its flags forbid reading it.
        """
        item = self.resource(target)
        attribute = _attribute(item.cls, name, item.label)
        attribute.check_readable(item.label)
        return (item.attrs if attrs is None else attrs).get(name, attribute.default)

    @locked
    def set(self, target: Target, name: str, value: Any, *, deployed: bool = False) -> Any:
        """Set an attribute; None takes it back to its default.

        Args:
            target: the resource.
            name: the attribute.
            value: its value as users write it.
            deployed: True once the deployment of the resource has begun.

        Returns:
            The value as it is stored.

        Raises:
            UnknownAttribute: the type has no such attribute.
            InvalidValue: the value is refused.
            NotAllowed: its flags forbid writing it, or forbid it now.
        """
        stored = self.checked(target, name, value, deployed=deployed)
        self.note(target, {name: stored})
        return stored

    def checked(self, target: Target, name: str, value: Any, *, deployed: bool = False) -> Any:
        """What :meth:`set` would store; raises what it would raise and changes nothing."""
        item = self.resource(target)
        attribute = _attribute(item.cls, name, item.label)
        attribute.check_writable(item.label, deployed=deployed)
        return attribute.check(value, item.cls.rtype)

    @locked
    def note(self, target: Target, stored: Mapping[str, Any]) -> None:
        """Take over stored values that have been checked, such as those a step committed."""
        item = self.resource(target)
        for name, value in stored.items():
            _put(item.attrs, item.cls.attributes[name], value)

    def attribute(self, target: Target, name: str) -> Attribute[Any]:
        """Return an attribute as the type of a resource declares it.

        Raises:
            UnknownAttribute: the type has no such attribute.
        """
        item = self.resource(target)
        if name not in item.cls.attributes:
            raise UnknownAttribute(name, item.cls.attributes, where=item.label)
        return item.cls.attributes[name]

    def require_trace(self, target: Target, name: str) -> None:
        """Check that the type of a resource declares a trace.

        Raises:
            TraceNotFound: it does not.
        """
        item = self.resource(target)
        if name not in item.cls.traces:
            raise TraceNotFound(name, item.cls.traces, where=item.label)

    def get_global(self, rtype: str, name: str) -> Any:
        """What an attribute is for new resources of a type if it is not given."""
        cls = registry.find(rtype)
        attribute = _attribute(cls, name, rtype)
        attribute.check_readable(cls.rtype)
        return self._globals.get(cls.rtype, {}).get(name, attribute.default)

    @locked
    def set_global(self, rtype: str, name: str, value: Any) -> None:
        """Set what an attribute is for resources of a type that are added from now on.

        Raises:
            UnknownType: there is no such type.
            UnknownAttribute: it has no such attribute.
            InvalidValue: the value is refused.
        """
        cls = registry.find(rtype)
        attribute = _attribute(cls, name, rtype)
        stored = attribute.check(value, cls.rtype)
        _put(self._globals.setdefault(cls.rtype, {}), attribute, stored)

    @locked
    def all_globals(self) -> dict[str, dict[str, Any]]:
        """What :meth:`set_global` has set: stored values by type and name."""
        return {rtype: dict(values) for rtype, values in self._globals.items() if values}

    # --- inside

    def _initial(self, cls: type[ResourceManager], settings: Mapping[str, Any]) -> dict[str, Any]:
        """The stored values of a new resource: those for all of its type, and its own.

        Raises:
            UnknownAttribute: the type has no such attribute or connection.
            InvalidValue: a value is refused.
            NotAllowed: an attribute may not be set by users.
        """
        with self.lock:
            attrs = dict(self._globals.get(cls.rtype, ()))
        for name, value in settings.items():
            if name not in cls.attributes:
                raise UnknownAttribute(name, [*cls.attributes, *cls.connections], where=cls.rtype)
            attribute = cls.attributes[name]
            attribute.check_writable(cls.rtype)
            if value is not None:
                _put(attrs, attribute, attribute.check(value, cls.rtype))
        return attrs


def _attribute(cls: type[ResourceManager], name: str, where: str) -> Attribute[Any]:
    attribute = cls.attributes.get(name)
    if attribute is None:
        raise UnknownAttribute(name, cls.attributes, where=where)
    return attribute


def _put(attrs: dict[str, Any], attribute: Attribute[Any], stored: Any) -> None:
    """Keep what differs from the default."""
    if stored is None or stored == attribute.default:
        attrs.pop(attribute.name, None)
    else:
        attrs[attribute.name] = stored
