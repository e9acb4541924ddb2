"""linux::FlowStat: samples the counters of a network interface."""
# ruff: noqa: N815 - attributes have the style of NEPI's names

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ....model import Attribute, Duration, Figure, Flag, Outputs, Readiness, Trace
from .options import Program, Target
from .tool import Tool

_COUNTERS = ("bytes", "packets", "errors", "dropped")
_COLUMNS = [f"{way}{name.capitalize()}" for way in ("rx", "tx") for name in _COUNTERS]
_HEAD = ",".join(["time", "seconds", *_COLUMNS, "rxBitsPerSecond", "txBitsPerSecond"])

# Counts from the first sample on. TERM ends the pause, so that the last sample is at the stop. The
# counters are those of the kernel, and go on from any number; ip prints them as one line of JSON.
_SAMPLING = r"""ended=''
trap 'ended=1' TERM INT
number() { value=${1#*\""$2"\":}; value=${value%%[!0-9]*}; }
counters() {
    case $json in *'"rx":{'*'"tx":{'*) ;; *) echo "ip printed no counters" >&2; exit 3 ;; esac
    rx=${json#*\"rx\":\{} tx=${json#*\"tx\":\{}
    values=''
    for way in "$rx" "$tx"; do
        for name in bytes packets errors dropped; do
            number "${way%%\}*}" "$name"
            values="$values $value"
        done
    done
}
# A stop ends also the program that runs at that moment, which is then run once more.
read_counters() { ip -j -s link show dev "$interface"; }
read_clock() { date +%s%N; }
first='' before=0 count=0
echo "$head" >samples.csv
while :; do
    json=$(read_counters) || { [ -n "$ended" ] && json=$(read_counters); } || exit
    now=$(read_clock) || now=$(read_clock) || exit
    printf '%s\n' "$json"
    counters
    # shellcheck disable=SC2086
    set -- $values
    [ -n "$first" ] || { first="$*" began=$now last=$now lastrx=$1 lasttx=$5; }
    row='' rest=$first
    for value; do
        row="$row,$((value - ${rest%% *}))" rest=${rest#* }
    done
    took=$(((now - last) / 1000)) rxrate=0 txrate=0
    if [ "$took" -gt 0 ]; then
        rxrate=$((($1 - lastrx) * 8000000 / took)) txrate=$((($5 - lasttx) * 8000000 / took))
    fi
    last=$now lastrx=$1 lasttx=$5
    age=$(((now - began) / 1000))
    printf '%d.%06d,%d.%06d%s,%d,%d\n' $((now / 1000000000)) $((now % 1000000000 / 1000)) \
        $((age / 1000000)) $((age % 1000000)) "$row" "$rxrate" "$txrate" >>samples.csv
    count=$((count + 1))
    [ -z "$ended" ] && [ "$count" -ne "$limit" ] || exit 0
    sleep "$interval" &
    wait $!
    kill $! 2>/dev/null
done
"""


class FlowStat(Tool, rtype="linux::FlowStat"):
    """Samples the counters of a network interface, by ip(8), until the stop or ``count``.

    It is STARTED when it has taken the first sample, so that it counts what starts after that.

    The trace ``samples`` is a table with a row for each sample: the time since the epoch, and
    since the first sample the seconds, the bytes, packets, errors and drops in each direction; and
    the rates since the row before. The figures are those of the last row. The trace ``stdout`` has
    what ip printed.
    """

    program = Program("ip", package="iproute2", version="-V")
    interface = Attribute(Target, help="The interface.", flags=Flag.DESIGN, required=True)
    interval = Attribute(Duration, "1s", help="Time between two samples.", flags=Flag.DESIGN)
    startedWhen = Attribute(
        Readiness,
        'output:"ifname"',
        help="Readiness probe: port:N, output:REGEX or file:PATH; by default the first sample.",
        flags=Flag.DESIGN,
    )
    count = Attribute(
        int, 0, help="Samples after which it ends; 0: only by a stop.", flags=Flag.DESIGN
    )

    seconds = Figure(float, unit="s", help="Time between the first and the last sample.")
    rxBytes = Figure(int, unit="B", help="Bytes received.")
    rxPackets = Figure(int, help="Packets received.")
    rxErrors = Figure(int, help="Packets received with an error.")
    rxDropped = Figure(int, help="Packets received and dropped.")
    txBytes = Figure(int, unit="B", help="Bytes sent.")
    txPackets = Figure(int, help="Packets sent.")
    txErrors = Figure(int, help="Packets that could not be sent.")
    txDropped = Figure(int, help="Packets dropped before they were sent.")
    rxBitsPerSecond = Figure(float, unit="bit/s", help="Mean rate received.")
    txBitsPerSecond = Figure(float, unit="bit/s", help="Mean rate sent.")

    samples = Trace(help="The samples, as CSV.", file="samples.csv")

    def wrapped(self, call: str) -> str:
        """Return the text for sh that samples."""
        words = {
            "interface": self.interface,
            "interval": f"{self.interval:.6f}",
            "limit": str(self.count),
            "head": _HEAD,
        }
        given = " ".join(f"{name}={shlex.quote(word)}" for name, word in words.items())
        called = shlex.join([*self.program, *self.extra])
        return f"{given}\n{_SAMPLING.replace('{ ip -j', f'{{ {called} -j')}"

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return the last row of the table."""
        rows = [row.split(",") for row in outputs.text("samples.csv", last=2000).splitlines()]
        if not rows or len(rows[-1]) != _HEAD.count(",") + 1 or not rows[-1][0][:1].isdigit():
            return {}
        _, seconds, *counters = rows[-1]
        figures: dict[str, Any] = {
            name: int(value) for name, value in zip(_COLUMNS, counters, strict=False)
        }
        took = float(seconds)
        if took > 0:
            figures["rxBitsPerSecond"] = figures["rxBytes"] * 8 / took
            figures["txBitsPerSecond"] = figures["txBytes"] * 8 / took
        return {**figures, "seconds": took}
