"""The detour of what an interface sends: through a bridge, where a queue can hold it.

A rule at the egress of the interface forwards all frames to one end of a veth pair, ``via``, whose
other end is a port of a bridge in the network namespace of the relay. The bridge sends frames back
by the port that they came from; at the ingress of ``via`` a rule marks them, for the first rule not
to take them again, and forwards them to the interface. There they pass its queueing discipline,
packet sockets (tcpdump) and driver, as if they had been sent just now.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from .netlink import (
    ACK,
    APPEND,
    CREATE,
    DELETE_LINK,
    EXCLUSIVE,
    NETFILTER,
    NEW_LINK,
    ROUTE,
    TABLES,
    Refused,
    attribute,
    batch,
    confirm,
    connect,
    link_message,
    message,
    native,
    nested,
    number,
    text,
    within,
)

MARK = 1 << 30  # the bit of a packet's mark that says that it has been held
TWICE = 1  # the mark, in the namespace of the relay, of a packet to duplicate
AFTER_BRIDGE = 4  # a hook of BRIDGE
BEFORE_ALL = -450  # a priority of rules: before fragments are put together
LARGEST = 65535  # MTU
OWNED = 2  # a table that no other socket can change, and that ends with this one
INET, NETDEV, BRIDGE = 1, 5, 7  # families of nf_tables
INGRESS, EGRESS = 0, 1  # hooks of NETDEV
NO_ADDRESS = nested(26, nested(10, native(8, 1, "B")))  # of IPv6


def rule(*expressions: tuple[str, bytes]) -> bytes:
    """Return the expressions of a rule, by name and data."""
    return nested(4, *(nested(1, text(1, name), data) for name, data in expressions))


def _bits(mask: int, flip: int, size: str = "I") -> tuple[str, bytes]:
    data = (nested(4, native(1, mask, size)), nested(5, native(1, flip, size)))
    length = struct.calcsize(size)
    return "bitwise", nested(2, number(1, 1), number(2, 1), number(3, length), *data)


def _compare(operator: int, value: bytes) -> tuple[str, bytes]:
    return "cmp", nested(2, number(1, 1), number(2, operator), nested(3, attribute(1, value)))


def _send(way: str, index: int) -> list[tuple[str, bytes]]:
    """Forward (``fwd``) a packet to an interface, or send a copy of it there (``dup``)."""
    device = nested(2, number(1, 1), nested(2, native(1, index)))
    return [("immediate", device), (way, nested(2, number({"fwd": 1, "dup": 2}[way], 1)))]


READ_MARK = "meta", nested(2, number(1, 1), number(2, 3))
WRITE_MARK = "meta", nested(2, number(3, 1), number(2, 3))
READ_INTERFACE = "meta", nested(2, number(1, 1), number(2, 6))
# The first byte of the address that a frame comes from. No sender has a group's address, so that
# its bit for groups can tell of a frame, beyond the namespace of the relay, that it goes twice.
READ_SENDER = "payload", nested(2, number(1, 1), number(2, 0), number(3, 6), number(4, 1))
WRITE_SENDER = "payload", nested(2, number(5, 1), number(2, 0), number(3, 6), number(4, 1))
GROUP = 1
ACCEPT = "immediate", nested(2, number(1, 0), nested(2, nested(2, number(1, 1))))
KEEP = 0xFFFFFFFF


class Table:
    """A table of nf_tables that ends with the process.

    Args:
        name: its name.
        family: INET, NETDEV or BRIDGE.
    """

    def __init__(self, name: str, family: int) -> None:
        self._link = connect(NETFILTER)
        self._family, self._name = family, text(1, name)
        self.write((0, CREATE, number(2, OWNED)))

    def write(self, *steps: tuple[int, int, bytes]) -> None:
        """Carry out steps, by their kind, flags and attributes, in one transaction."""
        last = len(steps) - 1
        messages = [
            message(
                TABLES << 8 | kind, flags | ACK * (at == last), self._family, 0, self._name + more
            )
            for at, (kind, flags, more) in enumerate(steps)
        ]
        confirm(self._link, "nf_tables", batch(*messages))

    def chain(self, name: str, hook: int, device: str, *rules: bytes) -> None:
        """Add a chain with rules."""
        place = [number(1, hook), number(2, BEFORE_ALL), *([text(3, device)] if device else [])]
        self.write(
            (3, CREATE, text(3, name) + nested(4, *place) + text(7, "filter")),
            *((6, CREATE | APPEND, text(2, name) + each) for each in rules),
        )

    def close(self) -> None:
        """Remove it."""
        self._link.close()


class Queues:
    """The rules in the namespace of the relay that hand packets to queues.

    Raises:
        Refused: this kernel cannot do that.
    """

    def __init__(self) -> None:
        self._rules: dict[int, bytes] = {}
        self._family, self._way, self._table = self._choose()
        # No rule in this namespace may have a hook that ends before the relay does: with a hook the
        # kernel drops all packets that are queued in its namespace.
        marked = _compare(0, struct.pack("=I", TWICE))
        sender = READ_SENDER, _bits(0xFF - GROUP, GROUP, "B"), WRITE_SENDER
        self._marks = Table("twice", BRIDGE)
        self._marks.chain("twice", AFTER_BRIDGE, "", rule(READ_MARK, marked, *sender))

    def _choose(self) -> tuple[int, str, Table]:
        for family, way in ((BRIDGE, "queue"), (INET, "queue"), (INET, "target")):
            # Without a queue for bridges: if they call the rules of IP, ARP is not held.
            if family == INET and not _calls_rules_of_ip():
                continue
            table = Table("relay", family)
            try:
                table.chain("probe", 0, "", self._rule("none", 1, way))
                table.write((8, 0, text(2, "probe")), (5, 0, text(3, "probe")))
                table.chain("held", 0, "")
            except Refused:
                table.close()
                continue
            return family, way, table
        raise Refused(
            "this kernel cannot queue what a bridge forwards: it needs nf_tables and nft_queue, or"
            " br_netfilter and NFQUEUE"
        )

    @staticmethod
    def _rule(interface: str, queue: int, way: str) -> bytes:
        if way == "queue":
            use = nested(2, attribute(1, struct.pack(">H", queue)))
        else:  # NFQUEUE of iptables, which needs no program of it
            info = struct.pack("=HHHH", queue, 1, 0, 0)
            use = nested(2, text(1, "NFQUEUE"), number(2, 3), attribute(3, info))
        name = interface.encode().ljust(16, b"\0")
        return rule(READ_INTERFACE, _compare(0, name), (way, use))

    def lead(self, key: int) -> None:
        """Hand what the bridge of a detour receives to the queue of that number."""
        # Rules of IP see the bridge, those of bridges its port.
        name = f"port{key}" if self._family == BRIDGE else f"bridge{key}"
        self._rules[key] = text(2, "held") + self._rule(name, key, self._way)
        self._table.write((6, CREATE | APPEND, self._rules[key]))

    def leave(self, keys: Sequence[int]) -> None:
        """Remove the rules of detours."""
        for key in keys:
            self._rules.pop(key, None)
        rules = [(6, CREATE | APPEND, each) for each in self._rules.values()]
        self._table.write((8, 0, text(2, "held")), *rules)

    @property
    def frames(self) -> str:
        """Return which frames are held: ``all``, or ``ip`` (IPv4 and IPv6)."""
        return "all" if self._family == BRIDGE else "ip"


def _calls_rules_of_ip() -> bool:
    """Return whether bridges call the rules of IP here; have them do so in VLANs too."""
    settings = Path("/proc/sys/net/bridge")
    for kind in ("vlan", "pppoe"):
        with contextlib.suppress(OSError):
            (settings / f"bridge-nf-filter-{kind}-tagged").write_text("1")
    return settings.exists()


class Detour:
    """A detour of what an interface sends.

    Args:
        key: a number that no other detour of the relay has; also that of its queue.
        namespace: an open file that stands for the network namespace of the interface.
        interface: its name.
        via: the name of the interface that the detour adds to that namespace.
        where: the name of the namespace in errors.
        path: of the namespace; empty if it needs none.

    Attributes:
        place: what stands for the interface on the host.

    Raises:
        Refused: it cannot be made; nothing of it is left.
    """

    def __init__(
        self, key: int, namespace: int, interface: str, via: str, where: str, path: str = ""
    ) -> None:
        self.key, self.via, self._interface, self._path = key, via, interface, path
        self._port, self._bridge = f"port{key}", f"bridge{key}"
        there = os.fstat(namespace)
        self.place = there.st_dev, there.st_ino, interface
        with within(namespace, where):
            index = _index(interface, where)
            if not _is_ethernet(interface):
                raise Refused(f"interface {interface!r} has no frames of Ethernet")
            self._there, self._table = connect(ROUTE), Table(f"nepiq-{via}", NETDEV)
            self._here = self._there
            try:
                self._make_pair()
                self._way_in = *_passing(), rule(*_send("fwd", _index(via, where)))
            except Refused:
                self.close()
                raise
        self._here = connect(ROUTE)
        try:
            self._make_bridge()
            self._table.chain("back", INGRESS, via, *_coming_back(index))
        except Refused:
            self.close()
            raise

    def open(self) -> None:
        """Have the interface send by the detour from now on."""
        self._table.chain("out", EGRESS, self._interface, *self._way_in)

    def shut(self) -> None:
        """Have the interface send by itself from now on; what is held comes back still."""
        self._table.write((8, 0, text(2, "out")), (5, 0, text(3, "out")))

    def has_gone(self) -> bool:
        """Return whether ``via`` or the namespace has been removed by another program."""
        try:
            socket.if_nametoindex(self._port)
        except OSError:
            return True
        return bool(self._path) and not Path(self._path).exists()

    def close(self) -> None:
        """Remove the detour, which has been shut."""
        self._table.close()
        for link, name in ((self._there, self.via), (self._here, self._bridge)):
            with contextlib.suppress(Refused):
                confirm(link, name, link_message(DELETE_LINK, 0, 0, text(3, name)))
            link.close()

    def _make_pair(self) -> None:
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            port = [text(3, self._port), native(4, LARGEST), native(28, home)]
            peer = attribute(1, bytes(16) + b"".join(port))
            kind = nested(18, text(1, "veth"), nested(2, peer))
            pair = [text(3, self.via), native(4, LARGEST), kind]
            confirm(self._there, "veth", link_message(NEW_LINK, CREATE | EXCLUSIVE, 0, *pair))
        finally:
            os.close(home)
        _configure(self._there, self.via, NO_ADDRESS)
        _configure(self._there, self.via)

    def _make_bridge(self) -> None:
        # No delay before it forwards, no snooping, as many groups of the link as a bridge may
        # forward, and the rules of IP, in case that those of bridges have no queue.
        options = [native(1, 0), native(23, 0, "B"), native(9, 0xFFF8, "H")]
        options += [native(36, 1, "B"), native(37, 1, "B")]
        kind = nested(18, text(1, "bridge"), nested(2, *options))
        bridge = [text(3, self._bridge), native(4, LARGEST), kind]
        confirm(self._here, "bridge", link_message(NEW_LINK, CREATE | EXCLUSIVE, 0, *bridge))
        master = native(10, _index(self._bridge, "the relay"))
        # A frame goes back by the port that it came from; addresses are not learned.
        hairpin = nested(5, native(4, 1, "B"), native(8, 0, "B"))
        _configure(self._here, self._bridge, NO_ADDRESS)
        _configure(self._here, self._bridge)
        _configure(self._here, self._port, NO_ADDRESS)
        _configure(self._here, self._port, master)
        _configure(self._here, self._port)
        _configure(self._here, self._port, nested(18, text(4, "bridge"), hairpin))


def _passing() -> list[bytes]:
    """Return the rule by which a marked packet passes, without the mark."""
    unmarked = READ_MARK, _bits(KEEP - MARK, 0), WRITE_MARK
    return [rule(READ_MARK, _bits(MARK, 0), _compare(1, bytes(4)), *unmarked, ACCEPT)]


def _coming_back(index: int) -> list[bytes]:
    """Return the rules by which what comes back is marked, and sent by the interface."""
    mark = READ_MARK, _bits(KEEP - MARK, MARK), WRITE_MARK
    twice = READ_SENDER, _bits(GROUP, 0, "B"), _compare(1, b"\0")
    once = READ_SENDER, _bits(0xFF - GROUP, 0, "B"), WRITE_SENDER
    return [rule(*twice, *once, *mark, *_send("dup", index)), rule(*mark, *_send("fwd", index))]


def _configure(link: socket.socket, interface: str, *attributes: bytes) -> None:
    """Change an interface, or set it up if no change is given."""
    request = link_message(NEW_LINK, 0, 0, text(3, interface), *attributes, set_up=not attributes)
    confirm(link, interface, request)


def _is_ethernet(interface: str) -> bool:
    """Return whether the packets of an interface have a header of Ethernet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16s24x", interface.encode())
        answer = fcntl.ioctl(any_socket, 0x8927, request)  # SIOCGIFHWADDR
    return int(struct.unpack_from("=H", answer, 16)[0]) == 1  # ARPHRD_ETHER


def _index(interface: str, where: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise Refused(f"there is no interface {interface!r} in {where}") from None
