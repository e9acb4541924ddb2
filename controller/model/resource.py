"""The base class of resource managers.

A resource manager is one small class that declares attributes (settings), connections (to
other resources), traces (outputs) and hooks (the code of each action). The class does not touch
a machine; a hook acts only through the context that it receives::

    class Beacon(ResourceManager, rtype="acme::Beacon"):
        interval = Attribute(Duration, "1s", help="Time between two beacons.")
        node = Connection("linux::Node", required=True)

        def do_start(self, context):
            return context.host.supervise(f"beacon --every {self.interval}")
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from ..errors import NotAllowed
from . import registry
from .attributes import Attribute, Flag
from .connections import NO_PEERS, Connection, Peered, Peers
from .declarations import declare, of_kind
from .figures import Outputs
from .hooks import Hook, Later, Retry
from .lifecycle import Action
from .traces import Trace

if TYPE_CHECKING:
    from .host import Context, Launch
    from .login import Login

_R = TypeVar("_R", bound="ResourceManager")

#: Default time limits of a step in seconds, over all its rounds, by action.
DEADLINES: Mapping[Action, float] = MappingProxyType(
    {
        Action.DEPLOY: 600.0,
        Action.DISCOVER: 600.0,
        Action.PROVISION: 600.0,
        Action.START: 60.0,
        Action.STOP: 60.0,
        Action.FINISH: 60.0,
        Action.SET: 60.0,
        Action.RELEASE: 120.0,
    }
)

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Placement(NamedTuple):
    """The workers that act on a host.

    Attributes:
        site: the site whose workers act on it.
        local: True if it is the worker machine itself.
        limit: number of steps that may act on it at the same time.
        affinity: a key; hosts with the same one share a session, so the same worker of the site is
            preferred for them. Empty for no preference.
    """

    site: str
    local: bool
    limit: int
    affinity: str = ""


class ResourceManager:
    """The manager of one resource; subclasses declare a resource type.

    ``class Shaper(ResourceManager, rtype="acme::Shaper", aliases=("AcmeShaper",))`` registers
    the class under its rtype; without ``rtype`` it is a base class. With ``abstract=True`` it is a
    base class whose rtype only names it in connections, which accept what is derived from it. Hooks
    are the methods
    ``do_*`` below; define those that have work to do. Each is called with the step's
    :class:`~nepiq.controller.model.host.Context` and must be idempotent, because a step whose
    worker is lost runs again.

    An instance lives for one round of a step: it is loaded from the resource's record, and
    attributes that its hooks assign are written back after the round. Nothing else is kept.

    Attributes:
        rtype: the name of the type; empty for a base class.
        does_io: False if the hooks do not touch a machine and take no time; their steps then
            run in batches.
        internal: True if resources of the type are not part of a description and not listed.
        provides_host: True if resources of the type are machines that other resources act on.
        emulates: the type of host, such as ``linux::Node``, that resources of the type stand for
            as emulated hosts: what is connected to one acts in it, on the host that it is part of.
        joint: hooks that act on the host only by :meth:`Host.configure`, :meth:`Host.supervise`,
            :meth:`Host.end` and the like, so that those of many resources can be carried out
            together, and the attributes with one of which they need more than that. As of
            ``called_for``, an entry does not apply to a hook that is overridden.
        covered: True if the release of the host undoes all that a release of the resource would.
        left_to_host: hooks of a release that only end processes once the resource has ended, and
            the attributes with one of which they do more. If the whole run is released, the release
            of the host does it for them. As of ``called_for``, an entry does not apply to a hook
            that is overridden.
        ends_all: for a type that provides a host, hooks of its release that end all processes of
            the run there before they do anything else, and the attributes with one of which they
            do not; entries apply as those of ``left_to_host``.
        encloses: True if resources of the type consist of those that wait for them, as a simulation
            does; pictures draw these inside it.
        endless: True if resources of the type do not end by themselves, so that a wait for the end
            of all resources leaves them out.
        deadlines: time limits of a step in seconds, by action; missing ones are inherited.
        retries: retry policies by hook name; a hook without one is not retried.
        unattended: seconds for which a run that has such a resource goes on without a client, if
            its user does not decide that; None for ever.
        called_for: by hook name, the attributes that give the hook work: it is skipped if none of
            them is set. The entry of a base class does not apply to a hook that is overridden.
        leading: name of the attribute that is set on the resource which does the
            :meth:`shared_work` for all on its host; empty if the type has none.
        attributes: the attributes by name, inherited ones included.
        traces: the traces by name.
        connections: the connections by name.
        waiting: names of the connections that order deployment and release.
        following: names of the connections whose peers are started first.
        implied: names of the connections that a deployment makes by itself.
        narrowing: names of the attributes that ``called_for`` mentions.
        demanded: names of the connections and attributes that a deployment requires.
        measured: names of the attributes that are a :class:`Figure`.
        guid: the resource's number in its run.
        label: the resource's name in its run.
        run_id: the run.
        exp_id: the user's name for the experiment.
        occasion: number of this start of the resource, counted from 1.
        peers: the connected managers by connection name.
        sealed: True for a peer, whose attributes cannot be assigned.
    """

    rtype: ClassVar[str] = ""
    does_io: ClassVar[bool] = True
    internal: ClassVar[bool] = False
    provides_host: ClassVar[bool] = False
    emulates: ClassVar[str] = ""
    joint: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    covered: ClassVar[bool] = False
    left_to_host: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    ends_all: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    encloses: ClassVar[bool] = False
    endless: ClassVar[bool] = False
    unattended: ClassVar[float | None] = None
    deadlines: ClassVar[Mapping[Action, float]] = DEADLINES
    retries: ClassVar[Mapping[str, Retry]] = {}
    called_for: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    leading: ClassVar[str] = ""
    attributes: ClassVar[Mapping[str, Attribute[Any]]] = {}
    traces: ClassVar[Mapping[str, Trace]] = {}
    connections: ClassVar[Mapping[str, Connection[Any]]] = {}
    waiting: ClassVar[tuple[str, ...]] = ()
    following: ClassVar[tuple[str, ...]] = ()
    implied: ClassVar[tuple[str, ...]] = ()
    narrowing: ClassVar[tuple[str, ...]] = ()
    demanded: ClassVar[tuple[str, ...]] = ()
    measured: ClassVar[tuple[str, ...]] = ()
    _hooks: ClassVar[Mapping[Action, tuple[Hook, ...]]] = dict.fromkeys(Action, ())
    _called_for: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    _joint: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    _left_to_host: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    _ends_all: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    __slots__ = (
        "__weakref__",
        "_changes",
        "_values",
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

    def __init_subclass__(
        cls, *, rtype: str = "", aliases: tuple[str, ...] = (), abstract: bool = False
    ) -> None:
        super().__init_subclass__()
        cls.rtype = rtype
        if "__init__" in vars(cls):
            raise TypeError(f"{cls.__name__}: __init__ is not allowed; use do_deploy")
        declare(cls, ResourceManager)
        if rtype and not abstract:
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
        attributes: Mapping[str, Any] = _EMPTY,
        peers: Mapping[str, Peered] | None = None,
    ) -> _R:
        """Return the manager of one resource for one step.

        Args:
            guid: the resource's number in its run.
            label: the resource's name in its run.
            run_id: the run.
            exp_id: the user's name for the experiment.
            occasion: number of this start.
            attributes: stored values that differ from the default; neither checked nor copied.
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
        self._values = attributes
        self._changes = None
        return self

    _values: Mapping[str, Any]
    _changes: dict[str, Any] | None

    def changes(self) -> dict[str, Any]:
        """Return the stored values of the attributes assigned since the manager was loaded."""
        return {} if self._changes is None else dict(self._changes)

    def stored(self, name: str) -> Any:
        """Return the stored value of an attribute; None if it is not set."""
        if self._changes is not None and name in self._changes:
            return self._changes[name]
        return self._values.get(name)

    def assign(self, name: str, value: Any) -> None:
        """Store the value of an attribute without a check; ``self.name = value`` checks it first.

        Raises:
            NotAllowed: this manager is a peer, which is read-only.
        """
        if self.sealed:
            raise NotAllowed(
                f"attribute {name!r} cannot be assigned through a connection",
                where=self.label,
                hint="assign attributes of the resource itself only",
            )
        if self._changes is None:
            self._changes = {}
        self._changes[name] = value

    @classmethod
    def hooks_for(cls, action: Action, given: Container[str] | None = None) -> tuple[Hook, ...]:
        """Return the hooks of an action that the class defines, in the order of their calls.

        Args:
            action: the action.
            given: names of the attributes that are set, to leave out hooks without work; None
                for all hooks.
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

    @classmethod
    def ends_by_itself(cls) -> bool:
        """Return whether a wait for the end of all resources includes those of the type."""
        return not (cls.provides_host or cls.internal or cls.endless)

    @classmethod
    def is_joint(cls, action: Action, given: Container[str]) -> bool:
        """Return whether steps of an action can be carried out together with others of a host.

        Args:
            action: the action.
            given: names of the attributes that are set.
        """
        return cls._do_no_more(cls._joint, action, given)

    @classmethod
    def is_left_to_host(cls, given: Container[str]) -> bool:
        """Return whether a release only ends processes once the resource has ended.

        Args:
            given: names of the attributes that are set.
        """
        return cls._do_no_more(cls._left_to_host, Action.RELEASE, given)

    @classmethod
    def ends_all_first(cls, given: Container[str]) -> bool:
        """Return whether the release of this host begins with the end of all processes there.

        Args:
            given: names of the attributes that are set.
        """
        return cls._do_no_more(cls._ends_all, Action.RELEASE, given)

    @classmethod
    def _do_no_more(
        cls, table: Mapping[str, tuple[str, ...]], action: Action, given: Container[str]
    ) -> bool:
        """Return whether the hooks of an action are all in a table that allows what is given."""
        hooks = cls.hooks_for(action, given)
        return bool(hooks) and all(
            hook.name in table and not any(name in given for name in table[hook.name])
            for hook in hooks
        )

    def hooks(self, action: Action) -> tuple[Hook, ...]:
        """Return the hooks of an action that have work for this resource."""
        return self.hooks_for(action, [name for name in self.narrowing if self._is_set(name)])

    def _is_set(self, name: str) -> bool:
        return self.stored(name) not in (None, self.attributes[name].default)

    def validate(self, conditional: Collection[Action]) -> None:
        """Raise an error if the resource cannot be deployed as it is described.

        It is called by the client before the deployment, for what no single attribute shows.

        Args:
            conditional: the actions whose steps wait for conditions.

        Raises:
            InvalidValue: values or connections do not go together.
        """

    def awaits(self) -> Collection[ResourceManager]:
        """Return further resources that must be READY before its deployment.

        The client calls it at the deployment. Those of connections that wait need not be named. It
        is for resources that know each other as equals, of which one needs what the other, or
        its host, reports.
        """
        return ()

    def local_paths(self) -> Sequence[str]:
        """Return the paths of the client whose contents travel with the deployment.

        The client calls it before the deployment, and stores the contents in the attribute of the
        kind :class:`~nepiq.controller.model.contents.Contents`, which the class declares.
        """
        return ()

    def shared_work(self) -> str:
        """Return the name of what a deployment does for all on its host; empty for nothing.

        Of the resources on a host that return the same name, the first that is deployed gets the
        attribute ``leading``, by which ``called_for`` calls its hook. The others wait until it is
        READY, and need no step on the host.
        """
        return ""

    def outline(self) -> Sequence[str]:
        """Return lines that the plan of a deployment shows of it beside its commands."""
        return ()

    def deadline_for(self, action: Action) -> float:
        """Return the time limit of a step in seconds; override it if it depends on attributes."""
        return self.deadlines[action]

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return the figures of a process that has ended; override it to read them.

        It may be called more than once for an end. What it leaves out is None. An error that it
        raises is logged as a warning; the end of the process is recorded all the same.
        """
        return {}

    def readings(self, line: str) -> Mapping[int, Mapping[str, Any]]:
        """Return what a line of ``stdout`` reports while the process runs; override it to read one.

        It is called with each line, on one manager, while a user looks at the run on the live page,
        and only then. An error that it raises is ignored.

        Returns:
            By guid, of this resource or of others, values by name. A value is a number or text.
        """
        return {}

    def joined_hosts(self) -> Sequence[tuple[ResourceManager, Sequence[str]]]:
        """Return the hosts that it joins, as a link does, each with its addresses there.

        The live page draws such a resource as a line between these hosts.
        """
        return ()

    @classmethod
    def reported(cls, stored: Mapping[str, Any]) -> Collection[str]:
        """Return the names of those attributes that the resource itself has set.

        They belong to its run: a copy of the description leaves them out.

        Args:
            stored: the stored values by name.
        """
        return [name for name in stored if Flag.NO_WRITE in cls.attributes[name].flags]

    def site_of_workers(self) -> str:
        """Return the site whose workers carry out its steps if it acts on no host; empty for any.

        Define it for a type that itself reaches machines or services of one site.
        """
        return ""

    def placement(self) -> Placement:
        """Return which workers act on this host; classes with ``provides_host`` define it."""
        raise NotImplementedError(f"{self.rtype} is not a host")

    def login(self) -> Login:
        """Return the SSH login of this host; host classes that are not local define it."""
        raise NotImplementedError(f"{self.rtype} has no login")

    def network_namespace(self) -> str:
        """Return the name of the network namespace of this emulated host.

        Classes with ``emulates`` define it, and :meth:`enter`.
        """
        raise NotImplementedError(f"{self.rtype} is not an emulated host")

    def enter(self, command: str, user: str = "") -> str:
        """Return a command for root that runs a shell command in this emulated host.

        Args:
            command: text for ``sh -c``.
            user: the user as whom it runs there; root if empty.
        """
        raise NotImplementedError(f"{self.rtype} is not an emulated host")

    def assigned(self) -> bool:
        """Return whether this host stands for a machine by now.

        While it does not, as one that waits for a lease, a release of it and of what acts on it
        has nothing to undo, and any other step fails.
        """
        return True

    def patience(self) -> float:
        """Return the seconds that the first deployment waits for this host to respond."""
        return 0.0

    def do_discover(self, context: Context) -> Later | None:
        """Find the real objects that the resource will use. Reaches DISCOVERED."""

    def do_reserve(self, context: Context) -> Later | None:
        """Reserve them for this resource. Reaches RESERVED."""

    def do_provision(self, context: Context) -> Later | None:
        """Create them, and check that they respond. Reaches PROVISIONED."""

    def do_deploy(self, context: Context) -> Later | None:
        """Configure the resource for the experiment. Reaches READY."""

    def do_start(self, context: Context) -> Later | Launch | None:
        """Start the resource. Reaches STARTED.

        Returns:
            The Launch that ``context.host.supervise`` returned, so that the start time is
            right and the exit is followed; ``Launch(exit=Exit(0, "FINISHED"))`` if nothing is
            left to run; None if the resource runs until it is stopped.
        """

    def do_stop(self, context: Context) -> Later | None:
        """Stop the resource. Reaches STOPPED."""

    def do_set(self, context: Context, name: str, value: Any) -> Later | None:
        """Apply a new attribute value to the deployed resource.

        Args:
            context: access to the host, the peers and the log.
            name: the attribute; ``self`` still has the old value.
            value: the new value, parsed. It is assigned after the hook returns, unless the hook
                assigned the attribute itself.
        """

    def do_release(self, context: Context) -> Later | None:
        """Undo everything; tolerate missing parts. Reaches RELEASED, even if it raises."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label or self.guid}>"


ResourceManager.attributes = of_kind(vars(ResourceManager), Attribute)
