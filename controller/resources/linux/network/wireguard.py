"""linux::WireGuard: one end of an encrypted link between two machines."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ....errors import HostError, InvalidValue
from ....model import (
    Action,
    Attribute,
    Change,
    Connection,
    Context,
    Duration,
    Flag,
    Later,
    ResourceManager,
    link_alias,
)
from .endpoint import Endpoint, machine, machines

#: Seconds in which one end has to answer the other: two attempts.
PATIENCE = 12.0
#: Exit code that says that it did not.
SILENT = 99
_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")


class WireGuard(Endpoint, rtype="linux::WireGuard"):
    """One end of an encrypted link for IP packets to another machine, in UDP.

    By the kernel, or else by wireguard-go(1) if the machine has it. Its private key is made on the
    machine and stays there, in the memory of what encrypts; the public keys are exchanged. Connect
    the two ends to each other. After wg(8).
    """

    port = Attribute(
        int,
        help="UDP port at this end; a free one by default. After the deployment: the port.",
        range=(1, 65535),
        flags=Flag.DESIGN,
    )
    keepalive = Attribute(
        Duration,
        "0s",
        help="Time after which it sends something, so that firewalls and translations of addresses "
        "remember it; 0: never.",
        range=(0, 65535),
        flags=Flag.DESIGN,
    )
    publicKey = Attribute(str, help="Its public key.", flags=Flag.NO_WRITE)
    joined = Attribute(
        bool, help="Whether it lets the other end in.", flags=Flag.NO_WRITE | Flag.RESERVED
    )
    driver = Attribute(str, help="What encrypts: kernel or wireguard-go.", flags=Flag.NO_WRITE)
    peer = Connection("linux::WireGuard", waits=False, help="The other end.")

    def other(self) -> WireGuard:
        """Return the other end."""
        peer: WireGuard = self.peer
        return peer

    def overhead(self) -> int:
        """Return the headers of UDP and WireGuard, and its padding and tag."""
        return 8 + 32

    def awaits(self) -> Collection[ResourceManager]:
        """Return the machine of the other end, which reports its address."""
        return machines(self.peer)

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it has another end, and no address of a link layer."""
        del conditional
        if self.peer is None:
            raise InvalidValue("connect it to another linux::WireGuard", where=self.label)
        if self.mac is not None:
            raise InvalidValue("it carries IP packets and has no MAC address", where=self.label)

    def kind(self, context: Context) -> str:
        """Return the kind."""
        del context
        return "wireguard"

    def creation(self, context: Context) -> Sequence[Change]:
        """Return the interface, with a key of its own."""
        listen = f" listen-port {self.port}" if self.port else ""
        key = f"wg genkey | wg set {self._device} private-key /dev/stdin{listen}"
        if self.driver == "kernel":
            return [*super().creation(context), Change(key, tool="sh")]
        return self._by_program(key)

    def _by_program(self, key: str) -> list[Change]:
        """Return how wireguard-go makes the interface; it ends when that is removed.

        It answers to the command that sets the key when it has begun; before that, the interface
        must not be moved away from it.
        """
        name, node = self._device, self.node
        folder = "/run/wireguard"
        # Of a full /run the program says that its socket does not exist.
        room = f"mkdir -p {folder} && : >{folder}/{name}.sock && cd /"
        start = f"{room} && NEPIQ_ID={self.run_id}.{self.guid} wireguard-go {name} 2>/dev/null"
        undo = f"ip link del {name} 2>/dev/null; rm -f {folder}/{name}.sock"
        made = [Change(start, undo, tool="sh", netns=""), Change(key, tool="sh", netns="")]
        if node.emulates:
            alias = f"alias {link_alias(self.run_id, self.guid)}"
            made += [
                Change(f"link set {name} netns {node.network_namespace()}", netns=""),
                Change(f"link set {name} {alias}", f"link del {name}"),
            ]
        return made

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the interface, with an MTU that fits.

        Raises:
            HostError: the host lacks a program.
        """
        host = context.host
        if host.lacks("wg"):
            raise HostError("the host has no wg", hint="install the package wireguard-tools")
        kinds = host.facts.link_kinds
        self.driver = "kernel" if kinds is None or "wireguard" in kinds else "wireguard-go"
        if self.driver != "kernel" and host.lacks("wireguard-go"):
            raise HostError(
                f"{host.facts.hostname} has WireGuard neither in its kernel nor as a program",
                hint="load its module as root: modprobe wireguard; or install the package "
                "wireguard-go",
            )
        self.fit(self.way())
        return super().configuration(context)

    def report(self) -> str:
        """Return the command that shows it, its public key and its port."""
        name = self._device
        return f"{super().report()}; wg show {name} public-key; wg show {name} listen-port"

    def made(self, report: str) -> None:
        """Take over what was made.

        Raises:
            HostError: wg does not show the key and the port.
        """
        shown, end, words = report.rpartition("]")
        super().made(shown + end)
        key, _, port = words.strip().partition(" ")
        if not _KEY.fullmatch(key) or not port.isdecimal():
            raise HostError(f"wg shows {words[:80]!r} of the interface")
        self.publicKey = key
        self.fill(port=int(port))

    def do_provision(self, context: Context) -> None:
        """Make the interface and its key, which the other end learns when this is committed."""
        super().do_deploy(context)

    def do_deploy(self, context: Context) -> Later | None:
        """Let the other end in, as soon as its key is known; the first one calls the second.

        Before the second knows the key of the first, it must not be called: what it does not answer
        is repeated after five seconds only (WireGuard's REKEY_TIMEOUT).

        Raises:
            HostError: the other end does not answer.
        """
        other = self.other()
        calls = self.guid < other.guid
        if not (other.joined if calls else other.publicKey):
            return Later(min(0.1 * 1.5 ** min(context.attempt, 10), 2.0))
        result = context.host.run(self._joining(other, calls=calls), sudo=True, check=False)
        if result.code == SILENT:
            raise HostError(
                f"{other.label} does not answer by UDP within {PATIENCE:g} s",
                hint=f"let UDP to port {other.port} of {machine(other).hostname} through the "
                "firewalls",
            )
        if result.code:
            raise HostError(result.stderr.decode("utf-8", "replace").strip()[-500:])
        self.joined = True
        return None

    def _joining(self, other: WireGuard, *, calls: bool) -> str:
        """Return a command that lets the other end in, and has it answer to a call."""
        name, peer = self._device, f"peer {other.publicKey}"
        keep = f"{peer} persistent-keepalive {round(self.keepalive)}"
        # The one that is called learns the address of the other by the call.
        command = f"wg set {name} {keep} allowed-ips 0.0.0.0/0,::/0"
        if not calls:
            return command
        remote = self.way().remote
        at = f"[{remote}]" if ":" in remote else remote
        command += f" endpoint {at}:{other.port}"
        if not (self.up and other.up):
            return command
        return (
            f"{command} && wg set {name} {peer} persistent-keepalive 1 && n=0 && "
            f"until wg show {name} latest-handshakes | grep -q '[[:space:]][1-9]'; do "
            f"n=$((n + 1)); [ $n -lt {PATIENCE / 0.05:.0f} ] || exit {SILENT}; sleep 0.05; done && "
            f"wg set {name} {keep}"
        )
