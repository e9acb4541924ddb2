"""netns::Node: an emulated host."""
# ruff: noqa: N815 - attributes have the style of NEPI's names

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from shlex import quote
from typing import Any

from ...errors import InvalidValue
from ...model import (
    AbsolutePath,
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
from ..linux.network.values import Ipv4, Ipv6
from ..linux.node import Node as LinuxNode
from .emulation import Emulation

#: The first process of a PID namespace, which takes over and reaps what others leave.
_INIT = 'trap "exit 0" TERM; while :; do sleep 86400 & wait $!; done'

_FORWARD = (
    "echo 1 >/proc/sys/net/ipv4/ip_forward; "
    "[ ! -e /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; "
    "ip link set lo up"
)


class Directories(tuple[str, ...]):
    """Absolute paths of directories, separated by semicolons or blanks, or as a list."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Directories:
        """Return the paths."""
        paths = re.split(r"[;\s]+", value) if isinstance(value, str) else value
        if not isinstance(paths, (list, tuple)):
            raise InvalidValue("must be absolute paths, as /run/frr;/var/log")
        cleaned = [AbsolutePath.parse(path).rstrip("/") for path in paths if path != ""]
        if not all(cleaned):
            raise InvalidValue("must be absolute paths other than /")
        return cls(dict.fromkeys(cleaned))


class Node(Configured, rtype="netns::Node"):
    """An emulated host: a network namespace of a Linux machine, with a host name of its own.

    It has its own interfaces, addresses, routes, firewall and ports, and shares processors, files
    and users with the machine. Its host name is its label, and its ``/etc/hosts`` has the names of
    all emulated hosts of the run on the machine. Applications and all that acts on a linux::Node
    can be connected to it instead. After namespaces(7), ip-netns(8).
    """

    emulates = "linux::Node"

    ip = Attribute(
        Ipv4, help="An IPv4 address of its own, on its loopback interface.", flags=Flag.DESIGN
    )
    ip6 = Attribute(Ipv6, help="The same for IPv6.", flags=Flag.DESIGN)
    forward = Attribute(
        bool,
        False,
        help="Whether it forwards packets between its interfaces, as a router does.",
        flags=Flag.DESIGN,
    )
    privateDirs = Attribute(
        Directories,
        "",
        help="Directories of the machine of which it has its own, empty ones, as /run/frr;/var/log."
        " What is written there is in private/ of its run directory.",
        flags=Flag.DESIGN,
    )
    pidNamespace = Attribute(
        bool, False, help="Whether its processes see no others.", flags=Flag.DESIGN
    )
    env = Attribute(
        Environment, "", help="Variables for all applications in it, as A=1 B=2.", flags=Flag.DESIGN
    )
    namespace = Attribute(
        str, help="Name of the network namespace on the machine, as reported.", flags=Flag.NO_WRITE
    )
    directory = Attribute(str, help="Its run directory.", flags=Flag.NO_WRITE | Flag.RESERVED)
    node = Connection(LinuxNode, waits=True, help="The machine that it is part of.")
    emulation = Connection(
        Emulation, waits=True, help="The emulated network of that machine, instead."
    )

    @property
    def machine(self) -> LinuxNode:
        """The machine that it is part of."""
        found: LinuxNode = self.node or self.emulation.node  # type: ignore[union-attr]
        return found

    @property
    def cpus(self) -> int | None:
        """The processors of the machine."""
        return self.machine.cpus

    @property
    def hostname(self) -> str:
        """Its host name, by which other emulated hosts reach it."""
        return self.label

    @property
    def addresses(self) -> str:
        """Its own addresses, without those of its interfaces."""
        return " ".join(address for address in (self.ip, self.ip6) if address)

    def placement(self) -> Placement:
        """Return which workers act on the machine."""
        return self.machine.placement()

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it is part of a machine."""
        del conditional
        if (self.node is None) == (self.emulation is None):
            raise InvalidValue(
                "connect it to the linux::Node that it is part of, or to a linux::netns::Emulation",
                where=self.label,
            )
        if self.machine.emulates:
            raise InvalidValue("an emulated host cannot be part of another", where=self.label)

    def network_namespace(self) -> str:
        """Return the name of its network namespace."""
        return namespace_name(self.run_id, self.guid)

    def enter(self, command: str, user: str = "") -> str:
        """Return a command for root that runs a shell command in it.

        ``ip netns exec`` gives the command a mount namespace of its own, too.
        """
        drop = f"setpriv --reuid={quote(user)} --regid={quote(user)} --init-groups " if user else ""
        prepare = "; ".join([*self._views(), f"exec {drop}sh -c {quote(command)}"])
        processes = f'nsenter --pid="/proc/$(cat {self._init})/ns/pid" ' if self._init else ""
        return (
            f"PATH=$PATH:/usr/sbin:/sbin; exec ip netns exec {self.network_namespace()} "
            f"{processes}unshare --uts sh -c {quote(prepare)}"
        )

    def _views(self) -> Iterator[str]:
        """Yield commands that make host name, files and processes its own."""
        yield f"hostname {quote(self.label)}"
        names = quote(f"{self.directory.rsplit('/', 2)[0]}/hosts")
        yield f"[ ! -e {names} ] || [ ! -e /etc/hosts ] || mount --bind {names} /etc/hosts"
        if self._init:
            yield "mount -t proc proc /proc || exit 126"
        for path in self.privateDirs:
            own = quote(f"{self.directory}/private{path}")
            yield f"mount --bind {own} {quote(path)} || exit 126"

    @property
    def _init(self) -> str:
        """The file with the number of the first process of its PID namespace; empty for none."""
        return quote(f"{self.directory}/init") if self.pidNamespace else ""

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the namespace, its own addresses and directories."""
        name = self.network_namespace()
        self.directory = context.run_dir
        changes = [Change(f"netns add {name}", f"netns del {name}"), *self.inside(name)]
        changes += [
            Change(f"address add {address} dev lo", netns=name)
            for address in (self.ip, self.ip6)
            if address
        ]
        if self.privateDirs or self.pidNamespace:
            changes += self._directories(context.run_dir)
        if self.pidNamespace:
            init = f"setsid sh -c {quote(_INIT)} </dev/null >/dev/null 2>&1"
            start = f"{init} & echo $! >{self._init}"
            changes.append(Change(f"unshare --pid sh -c {quote(start)}", tool="sh", netns=name))
        names = (f"{address} {self.label}" for address in (self.ip, self.ip6) if address)
        return [*changes, *(Change(line, line, "hosts", "") for line in names)]

    def names_at(self, device: str, addresses: Iterable[str]) -> Iterator[Change]:
        """Yield lines of ``/etc/hosts`` for the addresses of one of its interfaces.

        Without an address of its own it is reached by its name at these.
        """
        alias = f"{self.label}-{device}"
        names = alias if self.addresses else f"{self.label} {alias}"
        for address in addresses:
            line = f"{address} {names}"
            yield Change(line, line, "hosts", "")

    def inside(self, name: str) -> list[Change]:
        """Return what the namespace of this name is given first."""
        if self.forward or (self.emulation is not None and self.emulation.forward):
            return [Change(_FORWARD, tool="sh", netns=name)]
        return [Change("link set lo up", netns=name)]

    def _directories(self, run_dir: str) -> Iterator[Change]:
        """Yield what makes the run directory, owned by the login user, and directories in it."""
        above, guid, occasion = run_dir.rsplit("/", 2)
        own = [f"cd {quote(above)} && mkdir -p {guid}/{occasion}"]
        for path in self.privateDirs:
            there, here = quote(path), quote(f"{guid}/{occasion}/private{path}")
            missing = quote(f"there is no directory {path} that could be private; make it first")
            own.append(f"{{ [ -d {there} ] || {{ echo {missing}; false; }}; }}")
            own.append(f"mkdir -p {here}")
        own.append(f"chown -R --reference=. {guid}")
        for path in self.privateDirs:
            there, here = quote(path), quote(f"{guid}/{occasion}/private{path}")
            own.append(f"chmod --reference={there} {here} && chown --reference={there} {here}")
        yield Change(" && ".join(own), tool="sh", netns="")

    def made(self, report: str) -> None:
        """Report the name of the namespace."""
        del report
        self.namespace = self.network_namespace()
