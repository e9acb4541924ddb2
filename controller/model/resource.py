"""The base class of resource managers.

A resource manager is one small class: what can be set (attributes), what it works with
(connections), what it gives (traces), and what is done when (hooks). The class touches no
machine; a hook acts only through the context it is handed::

    class Beacon(ResourceManager, rtype="acme::Beacon"):
        interval = Attribute(Duration, "1s", help="Time between two beacons.")
        node = Connection("linux::Node", required=True)

        def do_start(self, context):
            return context.host.supervise(f"beacon --every {self.interval}")
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from ..errors import NotAllowed
from . import registry
from .attributes import Attribute, Flag
from .connections import NO_PEERS, Connection, Peered, Peers
from .hooks import HOOK_NAMES, HOOKS, Hook, Later, Retry
from .lifecycle import Action
from .traces import Trace

if TYPE_CHECKING:
    from .host import Context, Launch
    from .login import Login

_R = TypeVar("_R", bound="ResourceManager")

#: Seconds that a step of each action may take, over all its rounds, unless the class says more.
DEADLINES: Mapping[Action, float] = MappingProxyType(
    {
        Action.DEPLOY: 600.0,
        Action.DISCOVER: 600.0,
        Action.PROVISION: 600.0,
        Action.START: 60.0,
        Action.STOP: 60.0,
        Action.SET: 60.0,
        Action.RELEASE: 120.0,
    }
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Placement(NamedTuple):
    """Where a host is reached from.

    Attributes:
        site: the site whose workers act on it.
        local: True if it is the worker machine itself.
        limit: how many steps may act on it at one time.
        home: who shares this text shares a session with it, so the same worker of the site is
            asked first; empty for any worker.
    """

    site: str
    local: bool
    limit: int
    home: str = ""


class ResourceManager:
    """Manages one resource of one type. Subclass it, and declare what the type is.

    ``class Shaper(ResourceManager, rtype="acme::Shaper", aliases=("AcmeShaper",))`` registers
    the class under its rtype; without ``rtype`` it is a base for others. Hooks are the methods
    ``do_*`` below; define those that have work to do. Each is called with the step's
    :class:`~nepiq.controller.model.host.Context` and must be safe to call again, since a step
    whose worker is lost runs once more.

    An instance lives for one step: it is loaded from the record, and what its hooks assign to
    attributes goes back into the record after each of its rounds. Nothing else survives.

    Attributes:
        rtype: the type's name; empty for a base class.
        does_io: False for a class whose hooks touch no machine and take no time; their steps
            are carried out in batches.
        internal: True for a class whose resources are a means, and not listed among the others.
        provides_host: True if resources of the type are machines that others act on.
        deadlines: seconds a step may take, by action; what is missing is inherited.
        retries: by name of hook, how often it is tried again when it raises.
        called_for: by name of hook, the attributes for which it has work: it is not called for a
            resource that was given none of them. The entry of a base class does not count for a
            hook that is defined anew.
        attributes: the attributes by name, inherited ones included.
        traces: the traces by name.
        connections: the connections by name.
        waiting: names of the connections that order deployment and release.
        narrowing: names of the attributes that ``called_for`` mentions.
        demanded: names of the connections and attributes without which it is not deployed.
        guid: the resource's number in its run.
        label: its name there.
        run_id: the run.
        exp_id: the user's name for the experiment.
        occasion: which start of the resource this is, counted from 1.
        peers: the connected managers by connection name.
        sealed: True for a peer, whose attributes cannot be assigned.
    """

    rtype: ClassVar[str] = ""
    does_io: ClassVar[bool] = True
    internal: ClassVar[bool] = False
    provides_host: ClassVar[bool] = False
    deadlines: ClassVar[Mapping[Action, float]] = DEADLINES
    retries: ClassVar[Mapping[str, Retry]] = {}
    called_for: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    attributes: ClassVar[Mapping[str, Attribute[Any]]] = {}
    traces: ClassVar[Mapping[str, Trace]] = {}
    connections: ClassVar[Mapping[str, Connection[Any]]] = {}
    waiting: ClassVar[tuple[str, ...]] = ()
    narrowing: ClassVar[tuple[str, ...]] = ()
    demanded: ClassVar[tuple[str, ...]] = ()
    _hooks: ClassVar[Mapping[Action, tuple[Hook, ...]]] = dict.fromkeys(Action, ())
    _called_for: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    __slots__ = (
        "__weakref__",
        "_changes",
        "_given",
        "exp_id",
        "guid",
        "label",
        "occasion",
        "peers",
        "run_id",
        "sealed",
    )

    guid: int
    label: str
    run_id: str
    exp_id: str
    occasion: int
    peers: Mapping[str, Any]
    sealed: bool

    critical = Attribute(bool, True, help="If it fails, so does the experiment.", flags=Flag.DESIGN)
    hardRelease = Attribute(  # noqa: N815 - NEPI's name
        bool, False, help="Remove its files from the host when it is released."
    )

    def __init_subclass__(cls, *, rtype: str = "", aliases: tuple[str, ...] = ()) -> None:
        super().__init_subclass__()
        cls.rtype = rtype
        if "__init__" in vars(cls):
            raise TypeError(f"{cls.__name__}: managers are loaded, not made; use do_deploy")
        _declare(cls)
        if rtype:
            registry.register(cls, aliases)

    @classmethod
    def load(
        cls: type[_R],
        *,
        guid: int,
        label: str = "",
        run_id: str = "",
        exp_id: str = "",
        occasion: int = 1,
        attributes: Mapping[str, Any] = _NOTHING,
        peers: Mapping[str, Peered] | None = None,
    ) -> _R:
        """Make the manager of one resource for one step.

        Args:
            guid: the resource's number in its run.
            label: its name there.
            run_id: the run.
            exp_id: the user's name for the experiment.
            occasion: which start this is.
            attributes: stored values that are not the default; neither checked nor copied.
            peers: connected managers by connection name, or functions that load them.
        """
        self = cls.__new__(cls)
        self.guid = guid
        self.label = label
        self.run_id = run_id
        self.exp_id = exp_id
        self.occasion = occasion
        self.peers = Peers(peers) if peers else NO_PEERS
        self.sealed = False
        self._given = attributes
        self._changes = None
        return self

    _given: Mapping[str, Any]
    _changes: dict[str, Any] | None

    def changes(self) -> dict[str, Any]:
        """The stored values of the attributes that were assigned since it was loaded."""
        return {} if self._changes is None else dict(self._changes)

    def stored(self, name: str) -> Any:
        """The stored value of an attribute; None if it was not given."""
        if self._changes is not None and name in self._changes:
            return self._changes[name]
        return self._given.get(name)

    def assign(self, name: str, value: Any) -> None:
        """Store the value of an attribute, as ``self.name = value`` does after checking it.

        Raises:
            NotAllowed: this manager is the peer of another, which cannot change it.
        """
        if self.sealed:
            raise NotAllowed(
                f"attribute {name!r} cannot be assigned through a connection",
                where=self.label,
                hint="assign an attribute of the resource whose hook this is",
            )
        if self._changes is None:
            self._changes = {}
        self._changes[name] = value

    @classmethod
    def hooks_for(cls, action: Action, given: Container[str] | None = None) -> tuple[Hook, ...]:
        """The hooks of an action that the class defines, in the order they are called.

        Args:
            action: the action.
            given: the attributes that a resource was given, to leave out the hooks that have no
                work for it; None for all that the class defines.
        """
        hooks = cls._hooks[action]
        if given is None or not cls.narrowing:
            return hooks
        return tuple(
            hook
            for hook in hooks
            if hook.name not in cls._called_for
            or any(name in given for name in cls._called_for[hook.name])
        )

    def hooks(self, action: Action) -> tuple[Hook, ...]:
        """The hooks of an action that have work for this resource."""
        return self.hooks_for(action, [name for name in self.narrowing if self._is_given(name)])

    def _is_given(self, name: str) -> bool:
        return self.stored(name) not in (None, self.attributes[name].default)

    def deadline_for(self, action: Action) -> float:
        """Seconds that a step of this resource may take; override it if attributes decide."""
        return self.deadlines[action]

    def placement(self) -> Placement:
        """Where this host is reached from; classes with ``provides_host`` define it."""
        raise NotImplementedError(f"{self.rtype} is no host")

    def login(self) -> Login:
        """How this host is logged in to; classes of hosts that are not local define it."""
        raise NotImplementedError(f"{self.rtype} is reached by no login")

    def patience(self) -> float:
        """Seconds that its first deployment waits for this host to answer."""
        return 0.0

    def do_discover(self, context: Context) -> Later | None:
        """Find what the resource will use. Reaches DISCOVERED."""

    def do_reserve(self, context: Context) -> Later | None:
        """Set it aside, so that nobody else takes it. Reaches RESERVED."""

    def do_provision(self, context: Context) -> Later | None:
        """Make it exist and answer. Reaches PROVISIONED."""

    def do_deploy(self, context: Context) -> Later | None:
        """Configure it for the experiment. Reaches READY."""

    def do_start(self, context: Context) -> Later | Launch | None:
        """Start it. Reaches STARTED.

        Returns:
            The Launch that ``context.host.supervise`` gave, so that its age counts and its end
            is noticed; ``Launch(exit=Exit(0, "FINISHED"))`` if there was nothing to keep
            running; None if it runs until it is stopped.
        """

    def do_stop(self, context: Context) -> Later | None:
        """Stop it. Reaches STOPPED."""

    def do_set(self, context: Context, name: str, value: Any) -> Later | None:
        """Apply a new attribute value to what is deployed.

        Args:
            context: what the step may use.
            name: the attribute; ``self`` still has its former value.
            value: the new value, as the attribute will read. It is assigned when the hook has
                returned, unless the hook assigned the attribute itself.
        """

    def do_release(self, context: Context) -> Later | None:
        """Undo everything, tolerating what is missing. Reaches RELEASED, even if it raises."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label or self.guid}>"


def _declare(cls: type[ResourceManager]) -> None:
    """Collect what the body of a class declares, and check that it makes sense."""
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        members.update(vars(base))
    cls.attributes = _of_kind(members, Attribute)
    cls.traces = _of_kind(members, Trace)
    cls.connections = _of_kind(members, Connection)
    cls.waiting = tuple(name for name, slot in cls.connections.items() if slot.waits)
    cls.demanded = (
        *(name for name, slot in cls.connections.items() if slot.required),
        *(name for name, a in cls.attributes.items() if a.required and a.default is None),
    )
    for name in (*cls.attributes, *cls.traces, *cls.connections):
        if name.startswith("_") or name in _OWN_NAMES:
            raise TypeError(f"{cls.__name__}: the name {name!r} cannot be declared")
    cls.deadlines = MappingProxyType(_inherited(cls, "deadlines"))
    cls.retries = MappingProxyType(_inherited(cls, "retries"))
    unknown = {name for name in members if name.startswith("do_")} - HOOK_NAMES
    unknown |= set(cls.retries) - HOOK_NAMES
    if unknown:
        raise TypeError(
            f"{cls.__name__}: {', '.join(sorted(unknown))} is no hook; "
            f"hooks are {', '.join(sorted(HOOK_NAMES))}"
        )
    cls._hooks = {
        action: tuple(hook for hook in hooks if _overrides(cls, hook.name))
        for action, hooks in HOOKS.items()
    }
    cls._called_for = MappingProxyType(_narrowed(cls))
    cls.narrowing = tuple(sorted({n for names in cls._called_for.values() for n in names}))
    unknown = {*cls.narrowing, *vars(cls).get("called_for", ())} - {*cls.attributes, *HOOK_NAMES}
    if unknown:
        raise TypeError(f"{cls.__name__}: called_for names {', '.join(sorted(unknown))}")
    if cls.provides_host and not _overrides(cls, "placement"):
        raise TypeError(f"{cls.__name__} provides a host and must define placement()")


def _of_kind(members: Mapping[str, Any], kind: type[Any]) -> Mapping[str, Any]:
    found = {name: value for name, value in members.items() if isinstance(value, kind)}
    return MappingProxyType(found)


def _inherited(cls: type[ResourceManager], name: str) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    for base in reversed(cls.__mro__):
        merged.update(vars(base).get(name, {}))
    return merged


def _narrowed(cls: type[ResourceManager]) -> dict[str, tuple[str, ...]]:
    """The entries of ``called_for`` that hold for the hooks as the class has them."""
    found: dict[str, tuple[str, ...]] = {}
    for hook in sorted(HOOK_NAMES):
        for base in cls.__mro__:
            own = vars(base)
            if hook in own.get("called_for", {}):
                found[hook] = own["called_for"][hook]
            if hook in found or hook in own:
                break
    return found


def _overrides(cls: type[ResourceManager], name: str) -> bool:
    return getattr(cls, name) is not getattr(ResourceManager, name)


#: What a declaration in a subclass would hide.
_OWN_NAMES = frozenset(
    name
    for name, value in vars(ResourceManager).items()
    if not isinstance(value, Attribute) and not name.startswith("_")
)
_common = _of_kind(vars(ResourceManager), Attribute)
ResourceManager.attributes = _common
