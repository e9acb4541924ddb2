"""linux::ns3::TapLink: a TAP interface that joins a simulated device to the host's network."""

from __future__ import annotations

import re
import shlex
from typing import Any

from ...errors import HostError, InvalidValue
from ...model import Attribute, Connection, Context, Flag, Name, ResourceManager
from ..linux.node import Node
from .kinds import Ipv4, Mac

#: Files in the run directory that say what was made for it.
_NAMESPACE = "made-namespace"
_INTERFACE = "made-interface"


class InterfaceName(str):
    """The name of a network interface, at most 15 characters (IFNAMSIZ of netdevice(7))."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> InterfaceName:
        """Return a name that ip(8) accepts."""
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,15}", value):
            raise InvalidValue("must be the name of an interface, at most 15 characters")
        return cls(value)


class TapLink(ResourceManager, rtype="linux::ns3::TapLink"):
    """A TAP interface of a host whose other end is an ns3::FdNetDevice.

    What the host sends to the interface, the simulated device receives, so that real applications
    talk through the simulated network. The interface is made at the deployment and removed at the
    release, as root, and so is its network namespace if there was none of that name.
    """

    endless = True

    device = Attribute(
        InterfaceName, required=True, help="Name of the interface.", flags=Flag.DESIGN
    )
    namespace = Attribute(
        Name, help="Network namespace that it is in; made if there is none.", flags=Flag.DESIGN
    )
    ip = Attribute(Ipv4, help="IPv4 address of the host's end.", flags=Flag.DESIGN)
    prefix = Attribute(
        int, 24, help="Length of the network prefix.", range=(0, 32), flags=Flag.DESIGN
    )
    mac = Attribute(Mac, help="MAC address of the host's end.", flags=Flag.DESIGN)
    gateway = Attribute(
        Ipv4,
        help="Address of the simulated device, as the default route of its namespace.",
        flags=Flag.DESIGN,
    )
    node = Connection(Node, required=True, help="The machine that has the interface.")
    simulated = Connection("ns3::FdNetDevice", help="The simulated device.")

    def do_deploy(self, context: Context) -> None:
        """Make the interface, up and with its address.

        Raises:
            HostError: there is an interface of that name already.
        """
        name, ip = shlex.quote(self.device), self._ip()
        if self.namespace:
            space = shlex.quote(self.namespace)
            self._record(context, _NAMESPACE, f"ip netns pids {space}")
            context.host.run(
                f"ip netns pids {space} >/dev/null 2>&1 || ip netns add {space}", sudo=True
            )
        show = f"{ip} link show dev {name}"
        if not self._record(context, _INTERFACE, show):
            raise HostError(
                f"the host has an interface {self.device} already",
                hint="choose another name for device; a release would remove the interface",
            )
        owner = shlex.quote(context.host.facts.user)
        lines = [f"{show} >/dev/null 2>&1 || {ip} tuntap add dev {name} mode tap user {owner}"]
        if self.mac:
            lines.append(f"{ip} link set dev {name} address {self.mac}")
        if self.ip:
            lines.append(f"{ip} address replace {self.ip}/{self.prefix} dev {name}")
        lines.append(f"{ip} link set dev {name} up")
        if self.namespace:
            lines.append(f"{ip} link set dev lo up")
        if self.gateway:
            lines.append(f"{ip} route replace default via {self.gateway} dev {name}")
        context.host.run(" &&\n".join(lines), sudo=True)

    def do_release(self, context: Context) -> None:
        """Remove the interface and the namespace, if it made them."""
        self._undo(context, _INTERFACE, f"{self._ip()} link delete dev {shlex.quote(self.device)}")
        if self.namespace:
            self._undo(context, _NAMESPACE, f"ip netns delete {shlex.quote(self.namespace)}")

    def _record(self, context: Context, record: str, exists: str) -> bool:
        """Record that this resource makes something, unless that exists; return what is recorded.

        The record is written before the thing is made, so that another attempt knows it too.
        """
        path = shlex.quote(f"{context.run_dir}/{record}")
        if context.host.run(f"test -e {path}", check=False, mutates=False).code == 0:
            return True
        if context.host.run(exists, check=False, mutates=False, sudo=True).code == 0:
            return False
        context.host.write(record, b"", mode=0o600)
        return True

    def _undo(self, context: Context, record: str, command: str) -> None:
        path = shlex.quote(f"{context.run_dir}/{record}")
        context.host.run(f"[ ! -e {path} ] || {command}", check=False, sudo=True)

    def _ip(self) -> str:
        return f"ip -n {shlex.quote(self.namespace)}" if self.namespace else "ip"
