"""linux::Tcpdump: captures the packets of an interface."""
# ruff: noqa: E741 - attributes have the names of tcpdump's switches, as in NEPI's scripts

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ....errors import InvalidValue
from ....model import Attribute, Context, Figure, Flag, Outputs, Readiness, RelativePath, Trace
from .options import Option, Program, Target
from .tool import Tool

_FILE = "capture.pcap"
_COUNTS = {
    "captured": re.compile(r"(\d+) packets? captured"),
    "received": re.compile(r"(\d+) packets? received by filter"),
    "dropped": re.compile(r"(\d+) packets? dropped by kernel"),
}

# Waits until tcpdump has read what the kernel had captured for it at this moment. It sleeps when
# there is nothing to read: the kernel wakes it with each packet in immediate mode, and otherwise
# with a block of packets, when that is full or a second old. At most eight seconds.
_DRAIN = r"""
{ read -r pid <tcpdump.pid; } 2>/dev/null || exit 0
[ -z "$blocks" ] || sleep 1.2
tries=0 idle=0
while [ $idle -lt 3 ] && [ $tries -lt 800 ]; do
    tries=$((tries + 1))
    IFS= read -r line 2>/dev/null <"/proc/$pid/stat" || exit 0
    state=${line##*) }
    case ${state%% *} in S) idle=$((idle + 1)) ;; *) idle=0 ;; esac
    sleep 0.01
done
"""


class SaveFile(str):
    """The file that tcpdump writes packets to, in the run directory; empty for none."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> SaveFile:
        """Return a relative path; True stands for the usual one and False for none."""
        if isinstance(value, bool):
            return cls(_FILE if value else "")
        try:
            return cls(value and RelativePath.parse(value))
        except InvalidValue:
            raise InvalidValue("must be a path in the run directory, or False for none") from None


class Tcpdump(Tool, rtype="linux::Tcpdump", aliases=("LinuxTcpdump",)):
    """Captures the packets of an interface by tcpdump(8), as root, into a file.

    It is STARTED when it captures. A stop first waits until tcpdump has read every packet that the
    kernel had captured at that moment, so that the file has all of them but those counted in
    ``dropped``, for which the kernel's buffer was full; ``B`` makes that larger. This takes over a
    second, or less with ``immediateMode``. A release without a stop does not wait. If tcpdump
    prints packets, look-ups of names delay it: set ``n``.

    The file is the trace ``capture``, unless ``w`` gives it another name; with ``w=False`` tcpdump
    prints the packets. Where AppArmor confines tcpdump (Ubuntu does), it may not write in hidden
    directories of a home: give the node ``home``, as ``/srv/lab``.
    """

    program = Program("tcpdump", package="tcpdump", version="--version")
    sudo = Attribute(bool, True, help="Run it as root, by sudo on the host.", flags=Flag.DESIGN)
    startedWhen = Attribute(  # noqa: N815 - NEPI's style
        Readiness,
        "output:listening on",
        help="Readiness probe: port:N, output:REGEX or file:PATH; empty: ready when it runs.",
        flags=Flag.DESIGN,
    )

    i = Option(Target, "-i", help="Interface; by default the first one that is up, or any.")
    w = Option(SaveFile, "-w", _FILE, help="File for the packets, in the run directory; or False.")
    U = Option(bool, "-U", True, help="Write each packet to the file at once.")
    immediateMode = Option(  # noqa: N815
        bool,
        "--immediate-mode",
        help="Deliver each packet at once, not in blocks of up to a second; holds fewer packets.",
    )
    B = Option(int, "-B", 16384, help="Size of the kernel's buffer, in KiB.", range=(1, None))
    s = Option(int, "-s", help="Bytes of each packet to capture.", range=(0, None))
    c = Option(int, "-c", help="Packets after which it ends.", range=(1, None))
    p = Option(bool, "-p", help="Do not put the interface into promiscuous mode.")
    Q = Option(str, "-Q", help="Direction of the packets.", allowed=("", "in", "out", "inout"))
    C = Option(int, "-C", help="Size, in millions of bytes, after which a new file begins.")
    G = Option(int, "-G", help="Seconds after which a new file begins.", range=(1, None))
    W = Option(int, "-W", help="Number of files to rotate through or to end after.")
    z = Option(str, "-z", help="Program that is run with each file that is complete.")
    Z = Option(str, "-Z", help="User to become once the interface is open; with C or G root.")
    j = Option(str, "-j", help="Type of the time stamps, such as adapter.")
    J = Option(bool, "-J", help="Print the types of time stamps of the interface, and end.")
    timeStampPrecision = Option(  # noqa: N815
        str,
        "--time-stamp-precision",
        joint="=",
        help="Precision of the time stamps.",
        allowed=("", "micro", "nano"),
    )
    y = Option(str, "-y", help="Type of the link, such as EN10MB.")
    L = Option(bool, "-L", help="Print the types of the link, and end.")
    D = Option(bool, "-D", help="Print the interfaces, and end.")
    I = Option(bool, "-I", help="Monitor mode; only for wireless interfaces.")
    F = Option(str, "-F", help="File on the host with the expression.")
    r = Option(str, "-r", help="File on the host to read packets from.")
    V = Option(str, "-V", help="File on the host with the names of files to read.")
    d = Option(bool, "-d", help="Print the filter for people, and end.")
    dd = Option(bool, "-dd", help="Print the filter in C, and end.")
    ddd = Option(bool, "-ddd", help="Print the filter as numbers, and end.")
    O = Option(bool, "-O", help="Do not optimise the filter.")
    n = Option(bool, "-n", help="Print addresses and ports as numbers.")
    N = Option(bool, "-N", help="Print names of hosts without their domains.")
    f = Option(bool, "-f", help="Print foreign addresses as numbers.")
    K = Option(bool, "-K", help="Do not check checksums.")
    S = Option(bool, "-S", help="Print absolute sequence numbers of TCP.")
    A = Option(bool, "-A", help="Print each packet in ASCII.")
    x = Option(bool, "-x", help="Print each packet in hexadecimal.")
    xx = Option(bool, "-xx", help="The same with the header of the link.")
    X = Option(bool, "-X", help="Print each packet in hexadecimal and ASCII.")
    XX = Option(bool, "-XX", help="Print in hexadecimal and ASCII with the header of the link.")
    b = Option(bool, "-b", help="Print the numbers of autonomous systems with dots.")
    e = Option(bool, "-e", help="Print the header of the link.")
    E = Option(str, "-E", help="Reference to keys of IPsec, as SPI@ADDRESS ALGORITHM:SECRET.")
    H = Option(bool, "-H", help="Detect 802.11s draft mesh headers.")
    M = Option(str, "-M", help="Secret of TCP-MD5 (RFC 2385), which is not kept secret.")
    T = Option(str, "-T", help="Type to read the packets as, such as rtp.")
    l = Option(bool, "-l", help="Print each line at once.")
    print = Option(bool, "--print", help="Print the packets although they go into a file.")
    number = Option(bool, "--number", help="Print a number before each packet.")
    countOnly = Option(bool, "--count", help="With r: print the number of packets only.")  # noqa: N815
    q = Option(bool, "-q", help="Print less.")
    t = Option(bool, "-t", help="Print no time.")
    tt = Option(bool, "-tt", help="Print the time since the epoch.")
    ttt = Option(bool, "-ttt", help="Print the time since the packet before.")
    tttt = Option(bool, "-tttt", help="Print date and time.")
    ttttt = Option(bool, "-ttttt", help="Print the time since the first packet.")
    u = Option(bool, "-u", help="Print NFS handles without decoding.")
    v = Option(bool, "-v", help="Print more.")
    vv = Option(bool, "-vv", help="Print still more.")
    vvv = Option(bool, "-vvv", help="Print everything.")
    expression = Attribute(
        str, help="The packets to capture, as in pcap-filter(7).", flags=Flag.DESIGN
    )

    captured = Figure(int, help="Packets that tcpdump has read and written.")
    received = Figure(
        int, help="Packets that passed the filter, those dropped included; twice on lo."
    )
    dropped = Figure(int, help="Packets lost since the kernel's buffer was full.")

    capture = Trace(help="The packets, in the format of pcap.", file=_FILE)

    def option_words(self) -> list[str]:
        """Return the arguments; the user that tcpdump becomes could not begin a further file."""
        rotated = ["-Z", "root"] if (self.C or self.G) and not self.Z else []
        return [*super().option_words(), *rotated]

    def operands(self) -> list[str]:
        """Return the expression, which cannot be taken for an option."""
        return ["--", self.expression] if self.expression else []

    def wrapped(self, call: str) -> str:
        """Return the text for sh that runs tcpdump and leaves its process number in a file."""
        return f"echo $$ >tcpdump.pid\nexec {call}"

    def do_stop(self, context: Context) -> None:
        """Wait until every packet that the kernel has captured is read, and end tcpdump."""
        if not self.command:
            blocks = "" if self.immediateMode else "1"
            context.host.run(f"blocks={blocks}\n{_DRAIN}", check=False, sudo=self.sudo)
        super().do_stop(context)

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return the counters that tcpdump prints at its end."""
        text = outputs.text("stderr", last=2000)
        found = {name: pattern.findall(text) for name, pattern in _COUNTS.items()}
        return {name: int(counts[-1]) for name, counts in found.items() if counts}
