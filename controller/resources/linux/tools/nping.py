"""linux::NPing: measures loss and round-trip times with packets of any kind."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ....model import Attribute, Duration, Figure, Flag, Outputs
from .options import Option, Program, Target
from .tool import RepeatedTool

_TIMES = re.compile(r"Max rtt: ([\d.]+)ms \| Min rtt: ([\d.]+)ms \| Avg rtt: ([\d.]+)ms")
_COUNTS = re.compile(
    r"^(?:Raw packets sent|UDP packets sent|TCP connection attempts): (\d+).*?\| "
    r"(?:Rcvd|Successful connections): (\d+).*? (?:Lost|Failed): \d+ \(([\d.]+)%\)",
    re.MULTILINE,
)
_SUMMARY = 2000


class NPing(RepeatedTool, rtype="linux::NPing", aliases=("LinuxNPing",)):
    """Measures loss and round-trip times by nping(1), with ARP, ICMP, TCP or UDP packets.

    It is FINISHED also if no answer came. Most kinds of packets need root, so ``sudo`` is on;
    ``tcpConnect`` and, with ``unprivileged``, ``udp`` do not.
    """

    program = Program("nping", package="nmap", version="--version")
    sudo = Attribute(bool, True, help="Run it as root, by sudo on the host.", flags=Flag.DESIGN)
    target = Attribute(Target, help="The machine to probe.", flags=Flag.DESIGN, required=True)

    c = Option(int, "-c", help="Number of rounds; 0 for no end, nping's default is 5.")
    e = Option(Target, "-e", help="Interface to send from.")
    delay = Option(Duration, "--delay", help="Time between two probes.")
    rate = Option(int, "--rate", help="Probes a second.", range=(1, None))
    ttl = Option(int, "--ttl", help="Time to live of the packets.", range=(0, 255))
    p = Option(int, "-p", help="Destination port.", range=(0, 65535))
    tcp = Option(bool, "--tcp", help="Send TCP packets.")
    udp = Option(bool, "--udp", help="Send UDP packets.")
    icmp = Option(bool, "--icmp", help="Send ICMP packets.")
    arp = Option(bool, "--arp", help="Send ARP packets.")
    traceroute = Option(bool, "--traceroute", help="Raise the time to live with each probe.")
    tcpConnect = Option(bool, "--tcp-connect", help="Open TCP connections; needs no root.")

    sourcePort = Option(int, "-g", help="Source port.", range=(0, 65535))
    seq = Option(int, "--seq", help="TCP sequence number.")
    flags = Option(str, "--flags", help="TCP flags, such as syn,ack.")
    ack = Option(int, "--ack", help="TCP acknowledgement number.")
    win = Option(int, "--win", help="TCP window size.", range=(0, 65535))
    badsum = Option(bool, "--badsum", help="Send a wrong checksum of TCP or UDP.")
    icmpType = Option(str, "--icmp-type", help="ICMP type, a number or a name.")
    icmpCode = Option(str, "--icmp-code", help="ICMP code.")
    icmpId = Option(int, "--icmp-id", help="ICMP identifier.", range=(0, 65535))
    icmpSeq = Option(int, "--icmp-seq", help="First ICMP sequence number.", range=(0, 65535))
    icmpRedirectAddr = Option(Target, "--icmp-redirect-addr", help="Address of a redirect.")
    icmpParamPointer = Option(int, "--icmp-param-pointer", help="Pointer to a parameter problem.")
    icmpAdvertLifetime = Option(int, "--icmp-advert-lifetime", help="Life of an advertisement.")
    icmpAdvertEntry = Option(str, "--icmp-advert-entry", help="Router, as ADDRESS,PREFERENCE.")
    icmpOrigTime = Option(str, "--icmp-orig-time", help="Originate timestamp.")
    icmpRecvTime = Option(str, "--icmp-recv-time", help="Receive timestamp.")
    icmpTransTime = Option(str, "--icmp-trans-time", help="Transmit timestamp.")
    arpType = Option(str, "--arp-type", help="ARP, ARP-reply, RARP or RARP-reply.")
    arpSenderMac = Option(str, "--arp-sender-mac", help="Hardware address of the sender.")
    arpSenderIp = Option(Target, "--arp-sender-ip", help="Address of the sender.")
    arpTargetMac = Option(str, "--arp-target-mac", help="Hardware address of the target.")
    arpTargetIp = Option(Target, "--arp-target-ip", help="Address of the target.")
    sourceIp = Option(Target, "-S", help="Source address.")
    tos = Option(int, "--tos", help="Type of service.", range=(0, 255))
    id = Option(int, "--id", help="IP identification.", range=(0, 65535))
    df = Option(bool, "--df", help="Forbid fragments.")
    mf = Option(bool, "--mf", help="Announce more fragments.")
    evil = Option(bool, "--evil", help="Set the reserved bit.")
    badsumIp = Option(bool, "--badsum-ip", help="Send a wrong checksum of IP.")
    ipOptions = Option(str, "--ip-options", help="IP options, by letters or in hexadecimal.")
    mtu = Option(int, "--mtu", help="Send fragments of at most that size.", range=(8, None))
    ipv6 = Option(bool, "-6", help="Use IPv6.")
    hopLimit = Option(int, "--hop-limit", help="Hop limit (IPv6).", range=(0, 255))
    trafficClass = Option(int, "--traffic-class", help="Traffic class (IPv6).", range=(0, 255))
    flow = Option(int, "--flow", help="Flow label (IPv6).", range=(0, 0xFFFFF))
    destMac = Option(str, "--dest-mac", help="Destination hardware address.")
    sourceMac = Option(str, "--source-mac", help="Source hardware address.")
    etherType = Option(str, "--ether-type", help="Type of the Ethernet frame.")
    data = Option(str, "--data", help="Payload in hexadecimal.")
    dataString = Option(str, "--data-string", help="Payload as text.")
    dataLength = Option(int, "--data-length", help="Bytes of random payload.", range=(0, 65400))
    echoClient = Option(str, "--echo-client", help="Talk to an echo server with this passphrase.")
    echoPort = Option(int, "--echo-port", help="Port of the echo server.", range=(1, 65535))
    noCrypto = Option(bool, "--no-crypto", help="Talk to the echo server in the clear.")
    hideSent = Option(bool, "-H", help="Print no packets sent.")
    noCapture = Option(bool, "-N", help="Capture no answers.")
    privileged = Option(bool, "--privileged", help="Assume all rights.")
    unprivileged = Option(bool, "--unprivileged", help="Assume no rights to raw sockets.")
    sendEth = Option(bool, "--send-eth", help="Send Ethernet frames.")
    sendIp = Option(bool, "--send-ip", help="Send IP packets.")
    bpfFilter = Option(str, "--bpf-filter", help="Filter of the packets to capture.")
    v = Option(int, "-v", joint="", help="Level of messages.", range=(-4, 4))
    d = Option(int, "-d", joint="", help="Level of messages for developers.", range=(0, 6))

    sent = Figure(int, help="Probes sent, or connections tried.")
    received = Figure(int, help="Answers received, or connections made.")
    loss = Figure(float, unit="%", help="Probes without an answer.")
    rttMin = Figure(float, unit="ms", help="Least round-trip time.")
    rttAvg = Figure(float, unit="ms", help="Mean round-trip time.")
    rttMax = Figure(float, unit="ms", help="Greatest round-trip time.")

    def operands(self) -> list[str]:
        """Return the target."""
        return [self.target]

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return what the last summary has."""
        text = outputs.text(last=_SUMMARY)
        counts, times = _COUNTS.findall(text), _TIMES.findall(text)
        if not counts:
            return {}
        sent, received, loss = counts[-1]
        figures: dict[str, Any] = {
            "sent": int(sent),
            "received": int(received),
            "loss": float(loss),
        }
        if times:
            keys = ("rttMax", "rttMin", "rttAvg")
            figures |= {name: float(time) for name, time in zip(keys, times[-1], strict=True)}
        return figures
