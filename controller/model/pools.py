"""The interface between a hook and the pools of hosts that several runs share.

A pool is a list of hosts. A run that leases some of them has them for itself until it gives them
back. Hosts are told apart by their *keys*, whatever pool names them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast, runtime_checkable

from ..errors import NotAllowed

if TYPE_CHECKING:
    from ..errors import NepiqError
    from .facts import Facts
    from .resource import ResourceManager


class HostLease(NamedTuple):
    """A host that a run has for itself.

    Attributes:
        host: the key of the host.
        token: number of the lease; later leases have greater ones.
    """

    host: str
    token: int


class Granted(NamedTuple):
    """A request for hosts that is granted.

    Attributes:
        hosts: the lease of each resource by guid.
        seconds: how long it waited.
    """

    hosts: Mapping[int, HostLease]
    seconds: float


class Queued(NamedTuple):
    """A request for hosts that is not granted yet.

    Attributes:
        seconds: how long it has waited.
    """

    seconds: float


class Want(NamedTuple):
    """The resources of a request that can use the same hosts.

    Attributes:
        guids: the resources; each needs one host.
        hosts: keys of the hosts that they can use, the preferred ones first.
    """

    guids: Sequence[int]
    hosts: Sequence[str]


class Pools(Protocol):
    """The pools of the installation, as one step of one resource uses them."""

    def installed(self, name: str) -> Mapping[str, Any] | None:
        """Return a pool that is kept in the installation, as ``nepiq pool add`` stored it."""

    def facts(self, hosts: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return what is known of hosts by key; unknown hosts are missing."""

    def learn(self, host: str, facts: Mapping[str, Any]) -> None:
        """Keep facts of a host, besides those that are known."""

    def inspect(self, hosts: Mapping[str, ResourceManager]) -> Mapping[str, Facts | NepiqError]:
        """Log in to hosts and return their facts, or why that failed, by key.

        Args:
            hosts: managers of hosts by key, which need not be resources of the run.
        """

    def lease(self, wants: Sequence[Want]) -> Granted | Queued:
        """Request hosts for this resource and those it represents: all of them or none.

        The same request again returns the same hosts. While it is queued, the step should return
        :class:`~nepiq.controller.model.hooks.Later` with a long delay: it is due as soon as the
        request is granted.

        Returns:
            The leased hosts, or how long the request has waited.

        Raises:
            Cancelled: the hosts of this resource have been given back already.
        """

    def give_back(self, request: int | None = None, guid: int | None = None) -> None:
        """Give hosts back; without effect if that has been done.

        Args:
            request: guid of the resource that requested them; this one if None.
            guid: the resource that needs its host no more; None for all of the request, after
                which it cannot request any again.
        """


class AssignedHost(NamedTuple):
    """The leased host of a resource.

    Attributes:
        host: its key.
        name: its name or address.
    """

    host: str
    name: str


@runtime_checkable
class Requester(Protocol):
    """What a resource type defines whose hosts a campaign may request before the run begins.

    A campaign requests them on behalf of the first such resource of a run. The run begins when it
    has them, with what :meth:`accept` assigned to the attributes of the resource. Its hooks then
    request no hosts; they give them back as if the resource had requested them.
    """

    def requested(self, pools: Pools, avoid: Collection[str] = ()) -> Sequence[Want]:
        """Return the hosts that it requests.

        Args:
            pools: the pools; they are not asked for a lease.
            avoid: keys of hosts that it does without if there are enough others.

        Raises:
            NepiqError: the pools have too few such hosts.
        """

    def accept(self, pools: Pools, leases: Mapping[int, HostLease]) -> None:
        """Assign the hosts that were granted to its attributes.

        Args:
            pools: the pools; they are not asked for a lease.
            leases: the lease of each resource by guid.

        Raises:
            HostError: a host is not in the pools any more; others are requested then.
        """

    def assignments(self) -> Mapping[int, AssignedHost]:
        """Return the leased host of each resource by guid, as its attributes have them."""


class _NoPools:
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotAllowed("pools of hosts can be used on workers only")


#: Pools for a step that does not run on a worker: every use raises NotAllowed.
NO_POOLS = cast(Pools, _NoPools())
