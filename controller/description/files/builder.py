"""Builder of a description from a checked document."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import PurePath
from typing import Any

from ...errors import (
    DescriptionError,
    InvalidValue,
    NepiqError,
    UnknownAttribute,
    UnknownResource,
    UnknownType,
    near_misses,
)
from ...errors.text import quoted
from ...model import registry
from ...model.lifecycle import Action, State
from ...model.resource import ResourceManager
from ..description import Description
from ..resource import Resource
from ..topology.emulation import emulate
from ..wiring import wire_named
from .positions import Findings, Path
from .schema import RESERVED, ConditionEntry, Document, ResourceEntry, TopologyEntry

_CONDITIONAL = (Action.DEPLOY, Action.START, Action.STOP)


class Builder:
    """A builder that fills a description from a document and collects all errors.

    Args:
        description: the description, still empty.
        findings: collects the errors.
        failed: labels of resources with errors, which are not in the document.
    """

    def __init__(self, description: Description, findings: Findings, failed: set[str]) -> None:
        self._description = description
        self._findings = findings
        self._failed = failed
        self._labels: list[str] = []
        self._faulty: set[int] = set()
        self._lacks_network = False

    def build(self, document: Document) -> None:
        """Fill the description; parts with errors are left out."""
        if document.exp_id is not None:
            with self._collector(("exp_id",)):
                self._description.exp_id = Description(document.exp_id).exp_id
        for rtype, values in document.globals.items():
            with self._collector(("globals", rtype), key=True):
                cls = registry.find(rtype)
                for name, value in values.items():
                    with self._collector(("globals", rtype, name), key=name not in cls.attributes):
                        self._description.set_global(rtype, name, value)
        self._labels = list(document.resources)
        items = []
        for label, entry in document.resources.items():
            item = self._add(label, entry)
            if item is not None:
                items.append((item, entry, dict(self._set_attributes(item, entry))))
        if document.topology is not None:
            found = False
            with self._collector(("topology",), key=True):
                found = self._emulate(document.topology)
            # With an error, so that the description is refused.
            self._lacks_network = not found and len(self._findings) > 0
        self._connect(items)
        for item, entry, _ in items:
            for action in _CONDITIONAL:
                conditions: list[ConditionEntry] = getattr(entry, action.value)
                for position, condition in enumerate(conditions):
                    path = ("resources", item.label, action.value, position)
                    self._condition(item, action, condition, path)

    def check_complete(self) -> None:
        """Collect also the errors of :meth:`Description.check`."""
        for item in self._description.resources():
            if item.guid in self._faulty or (
                self._lacks_network and item.label not in self._labels
            ):
                continue
            for name in item.cls.demanded:
                slot = item.cls.connections.get(name)
                if slot is None and name not in item.attrs:
                    self._missing(item, f"attribute {quoted(name)} is missing", "")
                elif slot is not None and not item.peers.get(name):
                    example = f"write {name}: LABEL of a {slot.rtype}"
                    self._missing(item, f"connection {quoted(name)} is missing", example)
        if not len(self._findings):
            with self._collector(("resources",), key=True):
                # As deploy() of all resources does: the barrier of the group may close a cycle.
                self._description.check(groups={"of this deploy": list(self._description)})

    def _emulate(self, entry: TopologyEntry) -> bool:
        """Add the resources of a network of emulated hosts; False if they cannot be added."""
        targets = self._find(entry.on, ("topology", "on"), None)
        machines = [item.guid for item, _ in targets]
        if not machines:
            return False
        source: Any = {"nodes": entry.nodes, "links": entry.links}
        if entry.file is not None:
            source = PurePath(self._findings.positions.name).parent / entry.file
        emulate(
            _Registering(self._description),
            source,
            machines,
            routing=None if entry.routing == "none" else entry.routing,
            network=entry.network,
            node_network=entry.node_network,
            ipv6=entry.ipv6,
            prefix=entry.prefix,
            hosts=entry.hosts,
            sample=entry.sample,
        )
        return True

    # -- parts --------------------------------------------------------------------------------

    def _add(self, label: str, entry: ResourceEntry) -> Resource | None:
        path = ("resources", label)
        with self._collector((*path, "type")):
            if registry.find(entry.type).internal:
                raise UnknownType(entry.type, registry.names())
            with self._collector((*path, "guid") if entry.guid is not None else path, key=True):
                return self._description.resource(
                    self._description.add(entry.type, entry.guid, label)
                )
        self._failed.add(label)
        if entry.guid is not None:
            self._failed.add(str(entry.guid))
        return None

    def _set_attributes(self, item: Resource, entry: ResourceEntry) -> Iterator[tuple[str, Path]]:
        """Set the attributes of a resource; yield the names and paths of its connections."""
        path: Path = ("resources", item.label)
        values = [((*path, name), name, value) for name, value in (entry.model_extra or {}).items()]
        values += [
            ((*path, "attributes", name), name, value) for name, value in entry.attributes.items()
        ]
        for full_path, name, value in values:
            if name in item.cls.attributes:
                with self._collector(full_path, item=item):
                    self._set(item, name, value)
            elif name in item.cls.connections and len(full_path) == len(path) + 1:
                yield name, full_path
            else:
                error = UnknownAttribute(name, hint=partial(_name_hint, item.cls, name))
                self._collect(error, full_path, key=True, item=item)
        for name in entry.connections:
            full_path = (*path, "connections", name)
            if name in item.cls.connections:
                yield name, full_path
            else:
                problem = DescriptionError(
                    f"{item.cls.rtype} has no connection {quoted(name)}",
                    hint=partial(near_misses, name, item.cls.connections),
                )
                self._collect(problem, full_path, key=True, item=item)

    def _set(self, item: Resource, name: str, value: Any) -> None:
        try:
            self._description.set(item.guid, name, value)
        except InvalidValue as error:
            if item.cls.attributes[name].kind is str and isinstance(value, (bool, int, float)):
                error.hint = error.hint or "put it in quotes"
            raise

    def _connect(self, items: list[tuple[Resource, ResourceEntry, dict[str, Path]]]) -> None:
        named = []
        unnamed = []
        for item, entry, connections in items:
            for name, path in connections.items():
                extra = entry.model_extra or {}
                targets = extra[name] if len(path) == 3 else entry.connections[name]
                named += [(item, name, *peer) for peer in self._find(targets, path, item)]
            path = ("resources", item.label, "connectedTo")
            unnamed += [(item, *peer) for peer in self._find(entry.connectedTo, path, item)]
        paths = {(item.guid, name, peer.guid): path for item, name, peer, path in named}
        links = [(item, name, peer) for item, name, peer, _ in named]
        for key, error in wire_named(links, self._description.resource):
            self._collect(error, paths[key], item=self._description.resource(key[0]))
        for item, peer, path in unnamed:
            with self._collector(path, item=item):
                self._description.connect(item.guid, peer.guid)

    def _find(
        self, targets: Any, path: Path, item: Resource | None
    ) -> Iterator[tuple[Resource, Path]]:
        """Yield the resources that labels or guids name, with the path of each name."""
        names = [] if targets is None else targets if isinstance(targets, list) else [targets]
        for position, target in enumerate(names):
            full_path = (*path, position)
            if isinstance(target, bool) or not isinstance(target, (str, int)):
                error = DescriptionError(f"{quoted(target)} is not a label", hint="name a resource")
                self._collect(error, full_path, item=item)
            elif target in self._description:
                yield self._description.resource(target), full_path
            elif str(target) in self._failed or self._lacks_network:
                # An emulated host of a network with errors is not known.
                if item is not None:
                    self._faulty.add(item.guid)
            else:
                self._collect(UnknownResource(target, self._labels), full_path, item=item)

    def _condition(self, item: Resource, action: Action, entry: ConditionEntry, path: Path) -> None:
        targets = [target.guid for target, _ in self._find(entry.after, (*path, "after"), item)]
        names = State.__members__
        if entry.state.upper() not in names:
            error = DescriptionError(
                f"there is no state {quoted(entry.state)}",
                hint=partial(near_misses, entry.state.upper(), names),
            )
            self._collect(error, (*path, "state"), item=item)
            return
        with self._collector(
            (*path, "delay" if entry.state.upper() != "NEW" else "state"), item=item
        ):
            self._description.condition(item.guid, action, targets, entry.state, entry.delay)

    # -- findings -----------------------------------------------------------------------------

    def _missing(self, item: Resource, message: str, hint: str) -> None:
        path = ("resources", item.label)
        self._findings.add(DescriptionError(message, hint=hint), path, key=True)

    def _collect(
        self, error: NepiqError, path: Path, *, key: bool = False, item: Resource | None = None
    ) -> None:
        if item is not None:
            self._faulty.add(item.guid)
        self._findings.add(error, path, key=key)

    def _collector(
        self, path: Path, *, key: bool = False, item: Resource | None = None
    ) -> _Collector:
        return _Collector(self, path, key, item)


class _Registering:
    """Registers resources in a description, as an experiment does.

    Args:
        description: the description.
    """

    def __init__(self, description: Description) -> None:
        self._description = description

    def register_resource(self, rtype: str, **settings: Any) -> int:
        """Add a resource."""
        return self._description.add(rtype, **settings)


def _name_hint(cls: type[ResourceManager], name: str) -> str:
    """Return a hint with similar names of a type only; all its names would fill the screen."""
    hint = near_misses(name, [*cls.attributes, *cls.connections, *RESERVED])
    return hint if hint.startswith("did") else f"see the attributes of {cls.rtype}"


class _Collector:
    """A context manager that collects an error of nepiq instead of raising it."""

    def __init__(self, builder: Builder, path: Path, key: bool, item: Resource | None) -> None:
        self._collect = builder._collect  # noqa: SLF001 - a part of it
        self._path = path
        self._key = key
        self._item = item

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, NepiqError):
            return False
        self._collect(error, self._path, key=self._key, item=self._item)
        return True
