"""linux::LinkStat: samples the load of many links of a machine at once."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

from ....errors import InvalidValue
from ....model import ANY, Action, Attribute, Connection, Duration, Figure, Flag, Outputs
from ..network.ends import Linked, LinkEnd
from .options import Program
from .tool import Tool

#: Prints the bytes that each wanted interface has received and sent, in the order of ``want``, on
#: a line of their own. A line of ``ip -s -o`` has the counters behind their headings.
_COUNT = r"""
/^netns / { netns = $2; next }
{
    device = $2; sub(/[@:].*/, "", device)
    parts = split($0, part, "\\")
    for (i = 1; i < parts; i++) {
        split(part[i + 1], count, " ")
        if (part[i] ~ /RX:/) rx[netns "/" device] = count[1]
        if (part[i] ~ /TX:/) tx[netns "/" device] = count[1]
    }
}
END {
    wanted = split(want, key, " ")
    for (i = 1; i <= wanted; i++) printf ",%s,%s", tx[key[i]], rx[key[i]]
    print ""
}
"""

_SAMPLING = """echo "$head"
while :; do
    printf '%s' "$(date +%s.%N)"
    {COUNTERS} | awk -v want="$want" "$count"
    sleep "$interval" & wait $!
done"""


class LinkStat(Tool, rtype="linux::LinkStat"):
    """Samples the bytes on links of a machine by ip(8), from its start to its stop.

    One of them samples all links of a machine that are connected to it, also in emulated hosts,
    which needs root. It does not end by itself. ``stdout`` is a table as CSV with a row for each
    sample: the time since the epoch, and for each link the bytes that its first end has sent and
    received so far. The live page shows the rates between the last two samples.
    """

    endless = True

    program = Program("ip", package="iproute2", version="-V")
    interval = Attribute(Duration, "1s", help="Time between two samples.", flags=Flag.DESIGN)

    samples = Figure(int, help="Number of samples.")
    busiest = Figure(str, help="The link with the highest rate between two samples.")
    peak = Figure(float, unit="bit/s", help="That rate, in one direction.")

    links = Connection(
        ANY, required=True, many=True, help="The links or interfaces, all of the machine."
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse resources that are not links.

        Raises:
            InvalidValue: one of them is not.
        """
        super().validate(conditional)
        for link in self.links:
            if not isinstance(link, Linked):
                raise InvalidValue(f"{link.label} is not a link", where=self.label)

    def wrapped(self, call: str) -> str:
        """Return the text for sh that samples."""
        ends = [link.link_ends()[0] for link in self.links]
        names = [f"{link.label}.{way}" for link in self.links for way in ("sent", "received")]
        words = {
            "head": ",".join(["time", *names]),
            "want": " ".join(f"{end.netns or '-'}/{end.device}" for end in ends),
            "interval": f"{self.interval:.6f}",
            "count": _COUNT,
        }
        given = "\n".join(f"{name}={shlex.quote(word)}" for name, word in words.items())
        return f"{given}\n{_SAMPLING.replace('{COUNTERS}', _counters(call, ends))}"

    def readings(self, line: str) -> Mapping[int, Mapping[str, Any]]:
        """Return the rates of all links since the line before, in bits per second.

        ``out`` is that from the first end to the second.
        """
        row = _row(line)
        before, self._before = getattr(self, "_before", None), row
        if row is None or before is None or row[0] <= before[0] or len(row) != len(before):
            return {}
        rates = _rates(before, row)
        return {
            link.guid: {"out": out, "in": back}
            for link, out, back in zip(self.links, rates[::2], rates[1::2], strict=True)
            if out is not None and back is not None
        }

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return the highest rate in the table."""
        head, *lines = outputs.text().splitlines() or [""]
        rows = [row for row in map(_row, lines) if row is not None]
        names = head.split(",")[1:]
        best: tuple[float, str] = (0.0, "")
        for before, row in pairwise(rows):
            rates = _rates(before, row)
            if len(rates) == len(names):
                best = max(best, *zip((rate or 0.0 for rate in rates), names, strict=True))
        found = {"peak": best[0], "busiest": best[1].rpartition(".")[0]} if best[1] else {}
        return {"samples": len(rows), **found}


def _counters(call: str, ends: list[LinkEnd]) -> str:
    """Return the text for sh that prints the counters of all interfaces in the namespaces."""
    spaces = dict.fromkeys(end.netns for end in ends)
    shown = (
        f"echo 'netns {name or '-'}'; {call}{f' -n {name}' if name else ''} -s -o link show"
        for name in spaces
    )
    return "{ " + "; ".join(shown) + "; }"


def _row(line: str) -> list[float | None] | None:
    """Return the time and the counters of a line; None for a counter that is missing."""
    time, *counters = line.split(",")
    try:
        return [float(time), *(float(text) if text else None for text in counters)]
    except ValueError:
        return None


def _rates(before: list[float | None], row: list[float | None]) -> list[float | None]:
    """Return bits per second between two rows."""
    took = (row[0] or 0.0) - (before[0] or 0.0)
    return [
        None if one is None or two is None or took <= 0 else max(0.0, two - one) * 8 / took
        for one, two in zip(before[1:], row[1:], strict=False)
    ]
