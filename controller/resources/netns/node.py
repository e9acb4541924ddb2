"""netns::Node: an emulated host."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from shlex import quote

from ...errors import InvalidValue
from ...model import (
    Action,
    Attribute,
    Change,
    Connection,
    Context,
    Environment,
    Flag,
    Placement,
    namespace_name,
)
from ..linux.network.configured import Configured
from ..linux.node import Node as LinuxNode


class Node(Configured, rtype="netns::Node"):
    """An emulated host: a network namespace of a Linux machine, with a host name of its own.

    It has its own interfaces, addresses, routes, firewall and ports, and shares processors, files
    and users with the machine. Applications and all that acts on a linux::Node can be connected to
    it instead. After namespaces(7), ip-netns(8).
    """

    emulates = "linux::Node"

    env = Attribute(
        Environment, "", help="Variables for all applications in it, as A=1 B=2.", flags=Flag.DESIGN
    )
    namespace = Attribute(
        str, help="Name of the network namespace on the machine, as reported.", flags=Flag.NO_WRITE
    )
    node = Connection(LinuxNode, required=True, help="The machine that it is part of.")

    @property
    def cpus(self) -> int | None:
        """The processors of the machine."""
        return self.node.cpus

    def placement(self) -> Placement:
        """Return which workers act on the machine."""
        return self.node.placement()

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it is part of a machine."""
        del conditional
        if self.node.emulates:
            raise InvalidValue("an emulated host cannot be part of another", where=self.label)

    def network_namespace(self) -> str:
        """Return the name of its network namespace."""
        return namespace_name(self.run_id, self.guid)

    def enter(self, command: str, user: str = "") -> str:
        """Return a command for root that runs a shell command in it.

        ``ip netns exec`` gives the command a mount namespace of its own, too.
        """
        drop = f"setpriv --reuid={quote(user)} --regid={quote(user)} --init-groups " if user else ""
        prepare = f"hostname {quote(self.label)}; exec {drop}sh -c {quote(command)}"
        return (
            f"PATH=$PATH:/usr/sbin:/sbin; exec ip netns exec {self.network_namespace()} "
            f"unshare --uts sh -c {quote(prepare)}"
        )

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the namespace, with its loopback interface."""
        del context
        name = self.network_namespace()
        return [
            Change(f"netns add {name}", f"netns del {name}"),
            Change("link set lo up", netns=name),
        ]

    def made(self, report: str) -> None:
        """Report the name of the namespace."""
        del report
        self.namespace = self.network_namespace()
