"""One resource of a description: its attributes, connections and conditions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from ..errors import NotAllowed, TraceNotFound
from ..errors.text import quoted
from ..model.attributes import Attribute
from ..model.parameters import Parameter
from ..model.resource import ResourceManager
from ..model.spec import Gate, ResourceSpec
from .attribute_values import declared, keep
from .conditions import Condition


class Resource:
    """One resource of a description.

    Attributes:
        guid: its number.
        cls: the class of its manager.
        label: its name.
        attrs: stored values that are not the default.
        peers: guids by connection name, in the order connected.
        conds: the conditions of its steps.
    """

    __slots__ = ("attrs", "cls", "conds", "guid", "label", "peers")

    def __init__(
        self, guid: int, cls: type[ResourceManager], label: str, attrs: dict[str, Any]
    ) -> None:
        self.guid = guid
        self.cls = cls
        self.label = label
        self.attrs = attrs
        self.peers: dict[str, list[int]] = {}
        self.conds: list[Condition] = []

    # --- attributes and traces

    def attribute(self, name: str) -> Attribute[Any]:
        """Return an attribute as the type declares it.

        Raises:
            UnknownAttribute: the type has no such attribute.
        """
        return declared(self.cls, name, self.label)

    def get(self, name: str, attrs: Mapping[str, Any] | None = None) -> Any:
        """Return the value of an attribute as users write it; see :meth:`Description.get`."""
        attribute = self.attribute(name)
        attribute.check_readable(self.label)
        return (self.attrs if attrs is None else attrs).get(name, attribute.default)

    def checked(self, name: str, value: Any, *, deployed: bool) -> Any:
        """Return the value that is stored for one of a user; see :meth:`Description.set`."""
        attribute = self.attribute(name)
        attribute.check_writable(self.label, deployed=deployed)
        if deployed and isinstance(value, Parameter):
            raise NotAllowed(
                f"attribute {quoted(name)} cannot be a parameter after deployment", where=self.label
            )
        return attribute.check(value, self.cls.rtype)

    def note(self, stored: Mapping[str, Any]) -> None:
        """Take over stored values that have been checked."""
        for name, value in stored.items():
            keep(self.attrs, self.cls.attributes[name], value)

    def require_trace(self, name: str) -> None:
        """Check that the type declares a trace.

        Raises:
            TraceNotFound: it does not.
        """
        if name not in self.cls.traces:
            raise TraceNotFound(name, self.cls.traces, where=self.label)

    def trace_switch(self, name: str) -> str:
        """Return the attribute that lists the traces to write; empty if all are written.

        Args:
            name: the trace, or ``count:`` and a trace of which only the calls are counted.

        Raises:
            TraceNotFound: the type declares no such trace.
        """
        plain = name.removeprefix("count:")
        self.require_trace(plain)
        switch = self.cls.traces[plain].switch
        if not switch:
            self.require_trace(name)
        return switch

    def enabled_traces(self, switch: str) -> list[str]:
        """Return the traces that an attribute lists."""
        attribute = self.cls.attributes[switch]
        return list(attribute.parse(self.attrs.get(switch)))

    # --- all of it

    def linked(self, other: Resource) -> bool:
        """True if a connection of this resource leads to the other."""
        return any(other.guid in guids for guids in self.peers.values())

    def awaited(self) -> list[int]:
        """Guids of the peers that must be READY before it is deployed, and outlive it."""
        if not self.peers:
            return []
        return [guid for name in self.cls.waiting for guid in self.peers.get(name, ())]

    def followed(self) -> list[int]:
        """Guids of the peers that must be STARTED before it is started."""
        return [guid for name in self.cls.following for guid in self.peers.get(name, ())]

    def missing(self) -> Iterator[str]:
        """Name the required attributes, connections and values of parameters that it lacks."""
        for name in self.cls.demanded:
            slot = self.cls.connections.get(name)
            if slot is None and name not in self.attrs:
                yield f"attribute {name!r} of {self.label}"
            elif slot is not None and not self.peers.get(name):
                yield f"connection {name!r} of {self.label} to a {slot.rtype}"
        for name, value in self.attrs.items():
            if isinstance(value, Parameter):
                yield f"{value}, given by a campaign, in attribute {name!r} of {self.label}"

    def digest(self) -> str:
        """A digest of all that describes it: the same for the same."""
        parts = [self.guid, self.cls.rtype, self.label, self.attrs, self.peers, self.conds]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def gates(self) -> list[Gate]:
        """Return its conditions in the form in which they are uploaded."""
        return [
            Gate(action.value, target, milestone.name, offset)
            for _, action, target, milestone, offset in self.conds
        ]

    def as_given(self) -> ResourceSpec:
        """Return a copy of what users gave, for :meth:`Description.restore`.

        What the resource has reported of itself is left out.
        """
        reported = self.cls.reported(self.attrs)
        given = {k: v for k, v in self.attrs.items() if k not in reported}
        slots = self.cls.connections
        return ResourceSpec(
            self.guid,
            self.cls.rtype,
            self.label,
            peers={
                k: v for k, v in self.peers.items() if not (slots[k].together or slots[k].beside)
            },
            attributes=deepcopy(given),
            gates=self.gates(),
        )
