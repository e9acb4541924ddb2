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

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from ..errors import InvalidValue, NotAllowed
from . import registry
from .attributes import Attribute, Flag
from .connections import NO_PEERS, Connection, Peered, Peers
from .lifecycle import Action, State
from .timing import seconds
from .traces import Trace

if TYPE_CHECKING:
    from .host import Context, Launch
    from .login import Login

_R = TypeVar("_R", bound="ResourceManager")

#: Seconds that a step of each action may take, over all its rounds, unless the class says more.
DEADLINES: Mapping[Action, float] = MappingProxyType(
    {
        Action.DEPLOY: 600.0,
        Action.START: 60.0,
        Action.STOP: 60.0,
        Action.SET: 60.0,
        Action.RELEASE: 120.0,
    }
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Later:
    """What a hook returns when the world is not ready: call it again after a delay.

    No worker waits meanwhile. The step's deadline counts over all its rounds.

    Attributes:
        seconds: the delay.
    """

    __slots__ = ("seconds",)

    def __init__(self, delay: str | float) -> None:
        """Take the delay, ``"5s"`` or a number of seconds.

        Raises:
            InvalidValue: it is not a duration.
        """
        self.seconds = seconds(delay)

    def __repr__(self) -> str:
        return f"Later({self.seconds:g})"


class Retry:
    """How often and when a hook that raised is tried again, before its resource fails.

    Attributes:
        times: how many times more.
        delay: seconds before the first of these.
        backoff: factor by which the delay grows from one to the next.

    Example:
        ``retries = {"do_deploy": Retry(3, "2s")}`` tries again after 2, 4 and 8 seconds.
    """

    __slots__ = ("backoff", "delay", "times")

    def __init__(self, times: int, delay: str | float, backoff: float = 2.0) -> None:
        if times < 0 or backoff < 1:
            raise InvalidValue("a Retry needs times >= 0 and backoff >= 1")
        self.times = times
        self.delay = seconds(delay)
        self.backoff = backoff

    def wait(self, failures: int) -> float | None:
        """Seconds until the next try after that many failures; None if there is none."""
        if failures > self.times:
            return None
        return self.delay * float(self.backoff) ** (failures - 1)


class Placement(NamedTuple):
    """Where a host is reached from.

    Attributes:
        site: the site whose workers act on it.
        local: True if it is the worker machine itself.
        limit: how many steps may act on it at one time.
    """

    site: str
    local: bool
    limit: int


class Hook(NamedTuple):
    """A method that does one part of an action.

    Attributes:
        milestone: the state that is reached when it has returned; None if it changes none.
        name: the method's name.
    """

    milestone: State | None
    name: str


_HOOKS: Mapping[Action, tuple[Hook, ...]] = {
    Action.DEPLOY: (
        Hook(State.DISCOVERED, "do_discover"),
        Hook(State.RESERVED, "do_reserve"),
        Hook(State.PROVISIONED, "do_provision"),
        Hook(State.READY, "do_deploy"),
    ),
    Action.START: (Hook(State.STARTED, "do_start"),),
    Action.STOP: (Hook(State.STOPPED, "do_stop"),),
    Action.SET: (Hook(None, "do_set"),),
    Action.RELEASE: (Hook(State.RELEASED, "do_release"),),
}
_HOOK_NAMES = frozenset(hook.name for hooks in _HOOKS.values() for hook in hooks)


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
        provides_host: True if resources of the type are machines that others act on.
        deadlines: seconds a step may take, by action; what is missing is inherited.
        retries: by name of hook, how often it is tried again when it raises.
        attributes: the attributes by name, inherited ones included.
        traces: the traces by name.
        connections: the connections by name.
        waiting: names of the connections that order deployment and release.
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
    provides_host: ClassVar[bool] = False
    deadlines: ClassVar[Mapping[Action, float]] = DEADLINES
    retries: ClassVar[Mapping[str, Retry]] = {}
    attributes: ClassVar[Mapping[str, Attribute[Any]]] = {}
    traces: ClassVar[Mapping[str, Trace]] = {}
    connections: ClassVar[Mapping[str, Connection[Any]]] = {}
    waiting: ClassVar[tuple[str, ...]] = ()
    demanded: ClassVar[tuple[str, ...]] = ()
    _hooks: ClassVar[Mapping[Action, tuple[Hook, ...]]] = dict.fromkeys(Action, ())

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
    def hooks_for(cls, action: Action) -> tuple[Hook, ...]:
        """The hooks of an action that the class defines, in the order they are called."""
        return cls._hooks[action]

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
    unknown = {name for name in members if name.startswith("do_")} - _HOOK_NAMES
    unknown |= set(cls.retries) - _HOOK_NAMES
    if unknown:
        raise TypeError(
            f"{cls.__name__}: {', '.join(sorted(unknown))} is no hook; "
            f"hooks are {', '.join(sorted(_HOOK_NAMES))}"
        )
    cls._hooks = {
        action: tuple(hook for hook in hooks if _overrides(cls, hook.name))
        for action, hooks in _HOOKS.items()
    }
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
