"""Connections: which other resources a resource manager works with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

if TYPE_CHECKING:
    from .resource import ResourceManager

T = TypeVar("T")
R = TypeVar("R", bound="ResourceManager")


#: Stands for the rtype of a connection that takes resources of every type.
ANY = "*"


class Connection(Generic[T]):
    """A place where resources of one type can be connected, declared in the body of a class.

    In a hook, ``self.name`` gives the connected manager, or None if there is none; with
    ``many`` a list. The attributes of a peer can be read, not assigned: only a resource's own
    step commits them.

    A connection that *waits* puts the two in order: this resource is deployed when the peer is
    READY and released before it, and the nearest peer that is a host is the machine that the
    hooks act on.

    Attributes:
        name: the name it was declared under.
        rtype: the type of the peers; classes derived from that type's class fit too. :data:`ANY`
            takes all.
        required: True if a deployment without it is refused.
        many: True if several peers can be connected.
        waits: True if it orders deployment and release; by default where it is required.
        help: what it is for.

    Example:
        ``node = Connection("linux::Node", required=True, help="Where the command runs.")``
    """

    __slots__ = ("help", "many", "name", "required", "rtype", "waits")

    @overload
    def __init__(
        self: Connection[list[R]],
        rtype: type[R],
        *,
        required: bool = False,
        many: Literal[True],
        waits: bool | None = None,
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
        help: str = "",
    ) -> None: ...

    def __init__(
        self,
        rtype: str | type[ResourceManager],
        *,
        required: bool = False,
        many: bool = False,
        waits: bool | None = None,
        help: str = "",  # noqa: A002 - reads as the declaration it is
    ) -> None:
        self.name = ""
        self.rtype = rtype if isinstance(rtype, str) else rtype.rtype
        if not self.rtype:
            raise TypeError(f"{rtype!r} has no rtype, so nothing can be connected by it")
        self.required = required
        self.many = many
        self.waits = required if waits is None else waits
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


#: What a loader of managers gives for one connection: the peers, or a function that loads them.
Peered = Sequence["ResourceManager"] | Callable[[], Sequence["ResourceManager"]]


class Peers(Mapping[str, Sequence["ResourceManager"]]):
    """The connected managers by connection name, loaded when they are first asked for."""

    __slots__ = ("_sources",)

    def __init__(self, sources: Mapping[str, Peered]) -> None:
        self._sources = dict(sources)

    def __getitem__(self, name: str) -> Sequence[ResourceManager]:
        found = self._sources[name]
        if callable(found):
            found = self._sources[name] = found()
        for peer in found:
            peer.sealed = True
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


#: The peers of a manager without connections.
NO_PEERS = Peers({})
