"""Connections: the typed links of a resource to other resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

if TYPE_CHECKING:
    from .resource import ResourceManager

T = TypeVar("T")
R = TypeVar("R", bound="ResourceManager")


#: The rtype of a connection that accepts resources of every type.
ANY = "*"


class Connection(Generic[T]):
    """A link to resources of one type, declared in the body of a class.

    In a hook, ``self.name`` is the connected manager, or None; with ``many`` it is a list. The
    attributes of a peer can be read but not assigned, because only steps of the peer itself
    commit them.

    A connection that *waits* orders the two: this resource is deployed when the peer is READY
    and released before it, and the nearest peer that is a host is the machine that the hooks
    act on.

    Attributes:
        name: the name in the class body.
        rtype: the type of the peers; derived classes are accepted too. :data:`ANY` accepts all.
        required: True if a deployment without it is refused.
        many: True if several peers can be connected.
        waits: True if it orders deployment and release; the default is ``required``.
        follows: True if this resource starts after the peer is STARTED.
        named_by: the attribute by which users may connect, too: its value is the guid or the label
            of the peer. A value that names no resource of the type is left to the hooks.
        together: names of attributes and connections. Those resources of a deployment that have one
            of them are connected to one new, internal resource of this type, which so acts for
            all of them at once.
        beside: the name of another connection. The deployment connects this one to all resources
            of its type that are deployed at the same time and wait for a peer of the other one, as
            a route has to wait for all interfaces of its host.
        help: its purpose.

    Example:
        ``node = Connection("linux::Node", required=True, help="Where the command runs.")``
    """

    __slots__ = (
        "beside",
        "follows",
        "help",
        "many",
        "name",
        "named_by",
        "required",
        "rtype",
        "together",
        "waits",
    )

    @overload
    def __init__(
        self: Connection[list[R]],
        rtype: type[R],
        *,
        required: bool = False,
        many: Literal[True],
        waits: bool | None = None,
        follows: bool = False,
        named_by: str = "",
        together: tuple[str, ...] = (),
        beside: str = "",
        help: str = "",
    ) -> None: ...

    @overload
    def __init__(
        self: Connection[R],
        rtype: type[R],
        *,
        required: Literal[True],
        many: Literal[False] = False,
        waits: bool | None = None,
        follows: bool = False,
        named_by: str = "",
        together: tuple[str, ...] = (),
        beside: str = "",
        help: str = "",
    ) -> None: ...

    @overload
    def __init__(
        self: Connection[R | None],
        rtype: type[R],
        *,
        required: Literal[False] = False,
        many: Literal[False] = False,
        waits: bool | None = None,
        follows: bool = False,
        named_by: str = "",
        together: tuple[str, ...] = (),
        beside: str = "",
        help: str = "",
    ) -> None: ...

    @overload
    def __init__(
        self: Connection[Any],
        rtype: str,
        *,
        required: bool = False,
        many: bool = False,
        waits: bool | None = None,
        follows: bool = False,
        named_by: str = "",
        together: tuple[str, ...] = (),
        beside: str = "",
        help: str = "",
    ) -> None: ...

    def __init__(
        self,
        rtype: str | type[ResourceManager],
        *,
        required: bool = False,
        many: bool = False,
        waits: bool | None = None,
        follows: bool = False,
        named_by: str = "",
        together: tuple[str, ...] = (),
        beside: str = "",
        help: str = "",  # noqa: A002 - reads as the declaration it is
    ) -> None:
        self.name = ""
        self.rtype = rtype if isinstance(rtype, str) else rtype.rtype
        if not self.rtype:
            raise TypeError(f"{rtype!r} has no rtype, so that it cannot be connected")
        self.required = required
        self.many = many
        self.waits = required if waits is None else waits
        self.follows = follows
        self.named_by = named_by
        self.together = together
        self.beside = beside
        self.help = help

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Connection[T]: ...

    @overload
    def __get__(self, instance: ResourceManager, owner: type) -> T: ...

    def __get__(self, instance: ResourceManager | None, owner: type) -> Any:
        if instance is None:
            return self
        peers = instance.peers.get(self.name, ())
        if self.many:
            return list(peers)
        return peers[0] if peers else None

    def __set__(self, instance: ResourceManager, value: object) -> None:
        raise AttributeError(
            f"connection {self.name!r} of {instance.label} cannot be assigned; "
            "connections are made with register_connection"
        )

    def __repr__(self) -> str:
        return f"<Connection {self.name}: {self.rtype}>"


#: The peers of one connection, or a function that loads them.
Peered = Sequence["ResourceManager"] | Callable[[], Sequence["ResourceManager"]]


class Peers(Mapping[str, Sequence["ResourceManager"]]):
    """The connected managers by connection name, loaded on first use."""

    __slots__ = ("_sources",)

    def __init__(self, sources: Mapping[str, Peered]) -> None:
        self._sources = dict(sources)

    def __getitem__(self, name: str) -> Sequence[ResourceManager]:
        peers = self._sources[name]
        if callable(peers):
            peers = self._sources[name] = peers()
        for peer in peers:
            peer.sealed = True
        return peers

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


#: The peers of a resource without connections.
NO_PEERS = Peers({})
