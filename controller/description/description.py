"""The description of an experiment: resources, how they are connected, what waits for what.

A description is plain data in the user's process. The engine writes what :meth:`spec` gives
into Redis, and makes a description again from it for a program that attaches to a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import InvalidValue, NotAllowed
from ..model import registry
from ..model.attributes import Attribute
from ..model.lifecycle import Action, State
from ..model.names import check_name
from ..model.resource import ResourceManager
from ..model.spec import ResourceSpec
from .acting import Acting, acting, is_left_to_host
from .attribute_values import TypeDefaults
from .condition_set import ConditionSet, Wait
from .conditions import Condition, Gates, check_cycles
from .resource import Resource
from .roster import Guids, Roster, Target, Targets, locked, several
from .spec import make_spec
from .wiring import complete, wire

__all__ = ["Description", "Guids", "Resource", "Target", "Targets"]

_SHOWN = 5


class Description(Roster):
    """The resources of one experiment. Safe to use from several threads: see :attr:`lock`.

    Attributes:
        exp_id: the user's name for the experiment.
    """

    def __init__(self, exp_id: str = "experiment") -> None:
        """Begin an empty description.

        Raises:
            InvalidValue: ``exp_id`` is not a safe name.
        """
        super().__init__()
        self.exp_id = check_name("exp_id", exp_id)
        self._defaults = TypeDefaults()
        self._hosts: dict[int, Acting] = {}
        self._known = ConditionSet()

    # --- resources

    def add(
        self,
        rtype: str,
        guid: int | None = None,
        label: str | None = None,
        **settings: Any,
    ) -> int:
        """Add a resource. If anything is wrong, nothing is added.

        Args:
            rtype: its type.
            guid: its number; the next free one if None. A number above all others makes the
                count go on from it.
            label: its name; ``ping-3`` if None, from the type and the number.
            settings: attributes, and connections by name (a guid, a label or a list of them).

        Returns:
            The guid.

        Raises:
            UnknownType: there is no such type.
            UnknownAttribute: the type has no such attribute or connection.
            InvalidValue: a value is refused, or the guid or label is taken.
            NotAllowed: an attribute may not be set by users.
        """
        cls = registry.find(rtype)
        if guid is None:
            self.guids.ready()
        with self.lock:
            return self._add(cls, guid, label, settings)

    def _add(
        self,
        cls: type[ResourceManager],
        guid: int | None,
        label: str | None,
        settings: dict[str, Any],
    ) -> int:
        given = {name: settings.pop(name) for name in cls.connections if name in settings}
        peers = [
            (name, self.resource(peer))
            for name, some in given.items()
            if some is not None
            for peer in several(some)
        ]
        added = self.enter(cls, self._defaults.initial(cls, settings), guid, label)
        try:
            for name, peer in peers:
                self.connect(added.guid, peer.guid, name)
        except NotAllowed:
            self.remove(added.guid)
            raise
        return added.guid

    @locked
    def restore(self, spec: ResourceSpec, cls: type[ResourceManager] | None = None) -> int:
        """Add a resource as :meth:`spec` described it; its values are not checked again.

        Args:
            spec: the resource.
            cls: the class of its manager; by default that of its type.

        Raises:
            InvalidValue: its guid or label is taken.
        """
        cls = cls or registry.find(spec.rtype)
        added = self.enter(cls, dict(spec.attributes), spec.guid, spec.label)
        added.peers = {name: list(guids) for name, guids in spec.peers.items()}
        self._hosts.clear()
        for action, target, milestone, offset, need in spec.gates:
            if not need:  # needs follow from the connections
                self._known.add(
                    added, Condition(added.guid, Action(action), target, State(milestone), offset)
                )
        return added.guid

    @locked
    def adopt(self, other: Description, *, internal: bool = False) -> None:
        """Take over what another description holds, as users gave it; nothing is shared.

        What resources have reported of themselves is left out: it belongs to their run.

        Args:
            other: the other description.
            internal: take over scheduled calls too.

        Raises:
            InvalidValue: a guid or label is taken.
        """
        with other.lock:
            self._defaults = other._defaults.copy()
            for item in other.resources():
                if not item.cls.internal or internal:
                    self.restore(item.as_given(), item.cls)

    @locked
    def remove(self, target: Target) -> None:
        """Take out a resource, its connections and every condition that names it.

        Raises:
            UnknownResource: there is no such resource.
        """
        gone = self.resource(target)
        self.strike(gone)
        for other in self.resources():
            for guids in other.peers.values():
                if gone.guid in guids:
                    guids.remove(gone.guid)
        self._known.strike(gone.guid, self.resources())
        self._hosts.clear()

    def of_type(self, rtype: str) -> list[int]:
        """Guids of the resources of exactly that type.

        Raises:
            UnknownType: there is no such type.
        """
        cls = registry.find(rtype)
        return [item.guid for item in self.resources() if item.cls is cls]

    # --- attributes

    def get(self, target: Target, name: str, attrs: Mapping[str, Any] | None = None) -> Any:
        """Return the value of an attribute as users write it.

        Args:
            target: the resource.
            name: the attribute.
            attrs: its stored values, if they are known better than here.

        Raises:
            UnknownAttribute: the type has no such attribute.
            NotAllowed: its flags forbid reading it.
        """
        return self.resource(target).get(name, attrs)

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
        item = self.resource(target)
        stored = item.checked(name, value, deployed=deployed)
        item.note({name: stored})
        return stored

    def checked(self, target: Target, name: str, value: Any, *, deployed: bool = False) -> Any:
        """Return what :meth:`set` would store, or raise what it would raise; change nothing."""
        return self.resource(target).checked(name, value, deployed=deployed)

    @locked
    def note(self, target: Target, stored: Mapping[str, Any]) -> None:
        """Take over stored values that have been checked, such as those a step committed."""
        self.resource(target).note(stored)

    def attribute(self, target: Target, name: str) -> Attribute[Any]:
        """Return an attribute as the type of a resource declares it.

        Raises:
            UnknownAttribute: the type has no such attribute.
        """
        return self.resource(target).attribute(name)

    def require_trace(self, target: Target, name: str) -> None:
        """Check that the type of a resource declares a trace.

        Raises:
            TraceNotFound: it does not.
        """
        self.resource(target).require_trace(name)

    def get_global(self, rtype: str, name: str) -> Any:
        """Return the value that new resources of a type get for an attribute that is not given."""
        return self._defaults.get(registry.find(rtype), name)

    @locked
    def set_global(self, rtype: str, name: str, value: Any) -> None:
        """Set an attribute for resources of a type that are added from now on.

        Raises:
            UnknownType: there is no such type.
            UnknownAttribute: it has no such attribute.
            InvalidValue: the value is refused.
        """
        self._defaults.set(registry.find(rtype), name, value)

    @locked
    def all_globals(self) -> dict[str, dict[str, Any]]:
        """Return what :meth:`set_global` has set: stored values by type and name."""
        return self._defaults.all()

    # --- connections

    @locked
    def connect(self, first: Target, second: Target, name: str | None = None) -> None:
        """Connect two resources, on each side that declares a connection for the other.

        Where both sides would wait for each other, ``first`` waits. Connecting the same two
        again changes nothing.

        Args:
            first: one of them.
            second: the other.
            name: the connection of ``first`` to use; the first that fits and is free if None.

        Raises:
            UnknownResource: one of them does not exist.
            NotAllowed: neither has a connection for the other, or it is taken.
        """
        wire(self.resource(first), self.resource(second), name)
        self._hosts.clear()

    @locked
    def connected(self, target: Target) -> list[int]:
        """Guids of all resources connected to one, whichever side declares it."""
        item = self.resource(target)
        near = [guid for guids in item.peers.values() for guid in guids]
        far = [other.guid for other in self.resources() if other.linked(item)]
        return list(dict.fromkeys([*near, *far]))

    @locked
    def host_of(self, target: Target) -> int | None:
        """The host that a resource acts on: the nearest one along connections that wait.

        Returns:
            The guid of the host, a host's own for itself, or None if there is none.
        """
        return self._acting(target).host

    def _acting(self, target: Target) -> Acting:
        guid = self.resource(target).guid
        if guid not in self._hosts:
            self._hosts[guid] = acting(self._resources, guid)
        return self._hosts[guid]

    @locked
    def awaited(self, target: Target) -> list[int]:
        """Guids of the resources that must be READY before one is deployed."""
        item = self.resource(target)
        return [*item.awaited(), *self._also_awaited(item)]

    # --- conditions

    @locked
    def condition(
        self,
        guids1: Targets,
        action: Action | str,
        guids2: Targets,
        state: State | str,
        time: str | float | None = None,
    ) -> list[Condition]:
        """Let steps wait for states: each of ``guids1`` for all of ``guids2``.

        Args:
            guids1: whose step waits; a guid, a label or several.
            action: DEPLOY, START or STOP.
            guids2: for whom it waits.
            state: what these must have reached.
            time: how long ago they must have reached it, ``"5s"``; not at all for None.

        Returns:
            The conditions that did not exist before.

        Raises:
            UnknownResource: one of the resources does not exist.
            InvalidValue: the action, state or time is not possible.
        """
        items = [self.resource(guid) for guid in self.resolve_all(guids1)]
        wait = Wait.parse(action, state, time)
        targets = self.resolve_all(guids2)
        wanted = [(item, wait.condition(item.guid, target)) for item in items for target in targets]
        return [cond for item, cond in wanted if self._known.add(item, cond)]

    @locked
    def withdraw(self, conditions: Iterable[Condition]) -> None:
        """Take conditions back, for instance because they closed a circle."""
        for cond in conditions:
            self._known.discard(self._resources[cond.guid], cond)

    @locked
    def conditions(self) -> list[Condition]:
        """All conditions, by resource."""
        return [cond for item in self.resources() for cond in item.conds]

    # --- what the engine needs

    def complete(self, guids: Iterable[int]) -> list[int]:
        """Make the connections of resources that are to be deployed which no user makes.

        These are connections to resources that an attribute names, and to those that act for
        several resources together; the latter are added. A second call changes nothing.

        Args:
            guids: the resources.

        Returns:
            The resources that act for some of them.
        """
        if not any(self.resource(guid).cls.implied for guid in guids):
            return []
        self.guids.ready()
        with self.lock:
            items = [self.resource(guid) for guid in guids]
            joint = complete(items, self._named, self._add_internal)
            self._hosts.clear()
            return joint

    def _named(self, target: Target) -> Resource | None:
        return self.resource(target) if target in self else None

    def _add_internal(self, rtype: str) -> Resource:
        return self.resource(self._add(registry.find(rtype), None, None, {}))

    @locked
    def check(
        self,
        guids: Targets | None = None,
        groups: Mapping[str, Iterable[int]] | None = None,
        states: Mapping[int, State] | None = None,
    ) -> None:
        """Refuse what cannot be deployed.

        Args:
            guids: the resources to be deployed; all if None.
            groups: members of each group whose barrier is closed, those to be deployed included.
            states: where the resources are, if the experiment runs.

        Raises:
            InvalidValue: required connections or attributes are missing, or do not go together.
            ConditionCycle: conditions, connections and barriers wait for each other.
        """
        selected = [self._resources[guid] for guid in self.resolve_all(guids)]
        missing = [text for item in selected for text in item.missing()]
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise InvalidValue("missing: " + ", ".join(missing[:_SHOWN]) + more)
        for item in selected:
            if item.cls.validate is not ResourceManager.validate:
                self.instance(item.guid).validate({condition.action for condition in item.conds})
        needs = [(item.guid, peer) for item in self.resources() for peer in self.awaited(item.guid)]
        members = {name: list(guids) for name, guids in (groups or {}).items()}
        follows = [
            Condition(item.guid, Action.START, peer, State.STARTED)
            for item in self.resources()
            for peer in item.followed()
        ]
        gates = Gates([*self.conditions(), *follows], needs, members, states or {})
        check_cycles(gates, lambda guid: self._resources[guid].label)

    def instance(self, target: Target, run_id: str = "") -> ResourceManager:
        """The manager of a resource as described, its peers loaded when asked for."""
        item = self.resource(target)
        return item.cls.load(
            guid=item.guid,
            label=item.label,
            run_id=run_id,
            exp_id=self.exp_id,
            attributes=item.attrs,
            peers={name: self._loader(guids, run_id) for name, guids in item.peers.items()},
        )

    @locked
    def local_paths(self, guids: Iterable[int]) -> dict[int, Sequence[str]]:
        """Return the paths of this machine whose contents resources bring along, if they do."""
        classes = {guid: self.resource(guid).cls for guid in guids}
        bringing = [
            guid
            for guid, cls in classes.items()
            if cls.local_paths is not ResourceManager.local_paths
        ]
        paths = {guid: self.instance(guid).local_paths() for guid in bringing}
        return {guid: named for guid, named in paths.items() if named}

    @locked
    def spec(
        self, target: Target, *, settled: bool = True, leader: int | None = None
    ) -> ResourceSpec:
        """Return one resource as the engine stores it; see :func:`make_spec`."""
        item = self.resource(target)
        if not item.peers and not item.cls.provides_host:
            return make_spec(item, Acting(None), None, settled=settled, leader=leader)
        where = self._acting(item.guid)
        also = self._also_awaited(item)
        if where.host is None:
            site = self.instance(item.guid).site_of_workers()
            return make_spec(
                item, where, None, settled=settled, site=site, leader=leader, also=also
            )
        placement = self.instance(where.host).placement()
        return make_spec(
            item,
            where,
            placement,
            settled=settled,
            leader=leader,
            also=also,
            left_to_host=is_left_to_host(self._resources, item.guid, where),
        )

    # --- inside

    def _also_awaited(self, item: Resource) -> list[int]:
        """Guids of those that its manager wants to be READY first; see ``awaits``."""
        if item.cls.awaits is ResourceManager.awaits:
            return []
        known = {item.guid, *item.awaited()}
        return [it.guid for it in self.instance(item.guid).awaits() if it.guid not in known]

    def _loader(self, guids: list[int], run_id: str) -> Callable[[], list[ResourceManager]]:
        return lambda: [self.instance(guid, run_id) for guid in guids]
