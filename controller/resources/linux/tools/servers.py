"""Server and Client: the bases of tools that listen on a port, and of those that connect to one."""
# ruff: noqa: N815 - attributes have the style of NEPI's names

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from ....errors import InvalidValue
from ....model import Action, Attribute, Context, Flag, Launch
from ..host_command import HostCommand
from .options import Target
from .tool import Tool

# Below the ports that Linux gives to clients, from 32768 on. Servers that start at the same moment
# have different process numbers, so that they begin at different ports; who finds one in use goes
# far on, not to that of the next process. The step and the number of ports have no common divisor.
_CHOICE = r"""port=$((20000 + $$ % 12000))
while grep -qsE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$port") " \
    /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6; do
    port=$((20000 + (port - 20000 + 4001) % 12000))
done
"""


class Server(Tool):
    """A tool that listens on a port: a given one, or one that is free on its host."""

    port = Attribute(
        int, 0, help="Port to listen on; 0: a free one.", range=(0, 65535), flags=Flag.DESIGN
    )
    bind = Attribute(Target, "", help="Address to listen on; by default all.", flags=Flag.DESIGN)

    listeningPort = Attribute(
        int, help="The port that it listens on, once it is STARTED.", flags=Flag.NO_WRITE
    )

    def choice(self) -> str:
        """Return the text for sh that sets the variable ``port``, and reports it."""
        return (f"port={self.port}\n" if self.port else _CHOICE) + 'echo "$port" >port\n'

    def wrapped(self, call: str) -> str:
        """Return the text for sh that chooses the port and runs the program with it."""
        return f"{self.choice()}exec {call}"

    def do_start(self, context: Context) -> Launch:
        """Launch the program and report its port."""
        launch = super().do_start(context)
        if not self.command and launch.exit is None:
            self.listeningPort = self.port or int(context.host.read("port"))
        return launch

    def address_for(self, client: HostCommand) -> str:
        """Return the address at which a client reaches it."""
        if self.bind:
            return self.bind
        node = self.node
        if client.node.guid == node.guid:
            return "127.0.0.1"
        return node.addresses.split()[0] if node.addresses else node.hostname


class Client(Tool):
    """A tool that uses a server: that of its connection, or another one.

    A subclass declares a connection to its type of server that ``follows``.

    Attributes:
        alternatives: the attributes that name a server without a connection; those of one tuple
            together.
    """

    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (("target",),)

    target = Attribute(
        Target, "", help="The server; by default that of the connection.", flags=Flag.DESIGN
    )
    port = Attribute(
        int,
        help="Port of the server; by default that of the connection, or else the program's.",
        range=(1, 65535),
        flags=Flag.DESIGN,
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse a client without a server.

        Raises:
            InvalidValue: it has neither a connection nor the attributes that name a server.
        """
        super().validate(conditional)
        named = any(all(getattr(self, name) for name in names) for names in self.alternatives)
        if self.command or named or self._connected() is not None:
            return
        (name,) = self.following
        given = ", or ".join(" and ".join(names) for names in self.alternatives)
        raise InvalidValue(
            f"there is no {name}",
            where=self.label,
            hint=f"connect it to a {self.connections[name].rtype}, or set {given}",
        )

    def endpoint(self) -> tuple[str, int | None]:
        """Return address and port of the server; None if the port is left to the program."""
        server = self._connected()
        if server is None:
            return self.target, self.port
        return self.target or server.address_for(self), self.port or server.listeningPort

    def _connected(self) -> Server | None:
        peers = [getattr(self, name) for name in self.following]
        return next((peer for peer in peers if isinstance(peer, Server)), None)
