"""Captures of numbered packets that one test host sends to another."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tests.testbed.host import Host

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

PORT = 9999

# Sends numbered datagrams as fast as it can, each with so many bytes more.
_SENDER = """
import socket, sys
address, count, padding = sys.argv[1], int(sys.argv[2]), bytes(int(sys.argv[3]))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect((address, 9999))
for number in range(count):
    try:
        sender.send(number.to_bytes(4, "big") + padding)
    except ConnectionRefusedError:
        sender.send(number.to_bytes(4, "big") + padding)
"""


@dataclass(frozen=True)
class Capture:
    """A capture that was stopped when the sender had ended.

    Attributes:
        numbers: the numbers of the packets in the file, in order.
        captured: the figure.
        received: the figure.
        dropped: the figure.
    """

    numbers: list[int]
    captured: int
    received: int
    dropped: int


def capture(
    ec: ExperimentController,
    sending: Host,
    capturing: Host,
    count: int,
    padding: int = 0,
    **options: object,
) -> Capture:
    """Send packets from one host to another, and capture them there until the last one is sent."""
    nodes = [ec.register_resource("linux::Node", hostname=h.name) for h in (sending, capturing)]
    sender = ec.register_resource(
        "linux::Application",
        connectedTo=nodes[0],
        command=f"python3 -c '{_SENDER}' {capturing.address} {count} {padding}",
    )
    # The test hosts have no user tcpdump to become.
    capture = ec.register_resource(
        "linux::Tcpdump",
        connectedTo=nodes[1],
        i="eth0",
        Z="root",
        expression=f"udp port {PORT}",
        **options,
    )
    ec.register_condition(sender, ResourceAction.START, capture, ResourceState.STARTED)
    ec.register_condition(capture, ResourceAction.STOP, sender, ResourceState.FINISHED)
    ec.deploy()
    assert ec.wait_finished([sender, capture], timeout=60), ec.failures
    data = ec.trace(capture, "capture", text=False)
    figures = [ec.get(capture, name) for name in ("captured", "received", "dropped")]
    return Capture(numbers(data), *figures)


def numbers(pcap: bytes) -> list[int]:
    """Return the numbers of the packets in a capture of Ethernet, IPv4 and UDP."""
    found, at = [], 24
    while at < len(pcap):
        length = struct.unpack_from("<I", pcap, at + 8)[0]
        packet = pcap[at + 16 : at + 16 + length]
        at += 16 + length
        header = 14 + (packet[14] & 15) * 4 + 8
        found.append(int.from_bytes(packet[header : header + 4], "big"))
    return found
