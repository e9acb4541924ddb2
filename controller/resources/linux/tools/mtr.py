"""linux::Mtr: measures loss and times at each router on the way to a machine."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ....model import Attribute, Duration, Figure, Flag, Outputs
from .options import Option, Program, Target
from .tool import RepeatedTool

_REPORT = re.compile(r"^\{", re.MULTILINE)


class Mtr(RepeatedTool, rtype="linux::Mtr", aliases=("LinuxMtr",)):
    """Measures loss and round-trip times at each router by mtr(8), which reports in JSON.

    It is FINISHED after ``reportCycles`` rounds, also if the machine did not answer. With
    ``continuous`` the figures are those of the last report. Options for screens and for other
    formats of the report are left out.
    """

    program = Program("mtr", package="mtr-tiny", version="--version")
    target = Attribute(
        Target, help="The machine to find the way to.", flags=Flag.DESIGN, required=True
    )

    reportCycles = Option(int, "-c", help="Number of rounds; mtr's default is 10.", range=(1, None))
    noDns = Option(bool, "-n", True, help="Report addresses, and look up no names.")
    showIps = Option(bool, "-b", help="Report names and addresses.")
    address = Option(Target, "-a", help="Source address.")
    interface = Option(Target, "-I", help="Interface to send from.")
    interval = Option(Duration, "-i", help="Time between two rounds; mtr's default is 1s.")
    ipv4 = Option(bool, "-4", help="Use IPv4.")
    ipv6 = Option(bool, "-6", help="Use IPv6.")
    udp = Option(bool, "-u", help="Send UDP instead of ICMP.")
    tcp = Option(bool, "-T", help="Send TCP SYN instead of ICMP.")
    port = Option(int, "-P", help="Destination port.", range=(1, 65535))
    localPort = Option(int, "-L", help="Source port of UDP.", range=(1024, 65535))
    firstTtl = Option(int, "-f", help="First hop to ask.", range=(1, 255))
    maxTtl = Option(int, "-m", help="Last hop to ask.", range=(1, 255))
    maxUnknown = Option(int, "-U", help="Silent hops after which it ends.", range=(1, None))
    packetSize = Option(int, "-s", help="Bytes in a packet; negative: random up to that.")
    bitPattern = Option(int, "-B", help="Byte that fills the packets; -1: random.", range=(-1, 255))
    graceTime = Option(Duration, "-G", help="Time to wait for answers after the last round.")
    probeTimeout = Option(int, "-Z", help="Seconds that a TCP probe stays open.", range=(1, None))
    tos = Option(int, "-Q", help="Type of service.", range=(0, 255))
    mark = Option(int, "-M", help="Mark of the packets for filters of the host; needs root.")
    mpls = Option(bool, "-e", help="Report extensions of ICMP for MPLS.")
    asLookup = Option(bool, "-z", help="Look up the autonomous system of each address.")
    ipInfo = Option(int, "-y", help="Information to look up for each address.", range=(0, 4))

    hops = Figure(int, help="Hops to the last router that answered.")
    route = Figure(str, help="Routers hop by hop, space-separated; * for no answer.")
    loss = Figure(float, unit="%", help="Packets that the last hop did not answer.")
    sent = Figure(int, help="Packets sent to the last hop.")
    rttMin = Figure(float, unit="ms", help="Least round-trip time to the last hop.")
    rttAvg = Figure(float, unit="ms", help="Mean round-trip time to the last hop.")
    rttMax = Figure(float, unit="ms", help="Greatest round-trip time to the last hop.")
    rttStdev = Figure(float, unit="ms", help="Standard deviation of it.")

    def operands(self) -> list[str]:
        """Return the target."""
        return ["--json", self.target]

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return the last complete report."""
        text = outputs.text()
        hubs: list[dict[str, Any]] | None = None
        for start in _REPORT.finditer(text):
            try:
                report, _ = json.JSONDecoder().raw_decode(text, start.start())
            except ValueError:
                continue  # the one that it was writing when it was stopped
            hubs = report.get("report", {}).get("hubs", hubs)
        if not hubs:
            return {}
        names = ["*" if hub["host"] == "???" else str(hub["host"]) for hub in hubs]
        answered = [hub for hub, name in zip(hubs, names, strict=True) if name != "*"]
        last = hubs[-1]
        figures: dict[str, Any] = {
            "hops": int(answered[-1]["count"]) if answered else 0,
            "route": " ".join(name.split()[0] for name in names),
            "loss": float(last["Loss%"]),
            "sent": int(last["Snt"]),
        }
        if figures["loss"] < 100:
            keys = {"rttMin": "Best", "rttAvg": "Avg", "rttMax": "Wrst", "rttStdev": "StDev"}
            figures |= {name: float(last[key]) for name, key in keys.items()}
        return figures
