"""Servers of tools: programs that listen on a port of their own, and their clients' targets."""
# ruff: noqa: N815 - attributes have the style of NEPI's names

from __future__ import annotations

from ....model import Attribute, Context, Flag, Launch
from ..host_command import HostCommand
from .options import Target
from .tool import Tool

# Below the ports that Linux gives to clients, from 32768 on. Servers that start at the same moment
# have different process numbers, so that they begin at different ports.
_CHOICE = r"""port=$((20000 + $$ % 12000))
while grep -qsE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$port") " \
    /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6; do
    port=$((20000 + (port - 19999) % 12000))
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
