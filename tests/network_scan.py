"""What the kernel of a host has of networks, to be compared before and after."""

from __future__ import annotations

import re
from collections.abc import Callable

#: A line "# section", then its lines. Everything that changes by itself is left out.
SCRIPT = r"""
PATH=$PATH:/usr/sbin:/sbin
describe() {
    echo "# $1 links"; ip -o -d link show
    echo "# $1 addresses"; ip -o address show | grep -v ' fe80:'
    for family in -4 -6; do
        echo "# $1 routes $family"; ip $family -o route show table all | grep -v fe80
        echo "# $1 rules $family"; ip $family rule show
    done
    echo "# $1 nft"; nft list ruleset
    echo "# $1 qdiscs"; tc qdisc show
    echo "# $1 filters"
    for path in /sys/class/net/*; do
        tc filter show dev "${path##*/}"; tc filter show dev "${path##*/}" ingress
    done 2>/dev/null
    echo "# $1 sysctl"
    for key in ipv4/ip_forward ipv4/conf/all/rp_filter ipv4/tcp_rmem ipv6/conf/all/forwarding; do
        echo "$key $(cat /proc/sys/net/$key)"
    done
}
describe host
echo '# namespaces'; ls /run/netns 2>/dev/null
echo '# mounts'; stat -f -c '%n %T' /run/netns/* 2>/dev/null
echo '# records'; ls -A /run/nepiq 2>/dev/null
echo '# services'
for path in $(grep -ls NEPIQ_CONFIGURED= /proc/[0-9]*/environ); do
    tr '\0' ' ' <"${path%/*}/cmdline"; echo
done 2>/dev/null
for space in $(ls /run/netns 2>/dev/null | grep -v '^nq-'); do
    echo "# $space links"; ip -n "$space" -o -d link show
    echo "# $space addresses"; ip -n "$space" -o address show | grep -v ' fe80:'
    echo "# $space nft"; ip netns exec "$space" nft list ruleset
done
:
"""

# Numbers of interfaces and of namespaces, states of duplicate detection, and ages.
_CHANGING = (
    (re.compile(r"^\d+: "), ""),
    (re.compile(r"@if\d+\b"), "@peer"),
    (re.compile(r"\blink-netnsid \d+"), "link-netnsid"),
    (re.compile(r"\b(valid_lft|preferred_lft|expires) \S+"), ""),
    (re.compile(r"\b(tentative|dadfailed|optimistic)\b"), ""),
    (re.compile(r"\b(state|gc_timer|hello_timer|tcn_timer|topology_change_timer) +\S+"), ""),
    (re.compile(r"\b(NO-CARRIER|LOWER_UP|M-DOWN),?"), ""),
    (re.compile(r"[\s\\]+"), " "),
)


def scan(run: Callable[[str], str]) -> dict[str, list[str]]:
    """Return lines by section.

    Args:
        run: runs a shell command on the host as root, and returns what it printed.
    """
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in run(SCRIPT).splitlines():
        if line.startswith("# "):
            lines = sections.setdefault(line[2:], [])
            continue
        for form, replacement in _CHANGING:
            line = form.sub(replacement, line)  # noqa: PLW2901 - the line as it is compared
        if line.strip():
            lines.append(line.strip())
    # The order of rules of nft counts, that of all else does not.
    return {
        name: lines if name.endswith("nft") else sorted(lines) for name, lines in sections.items()
    }


def differences(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """Return what came and went, a line each."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, []), after.get(name, [])
        found += [f"{name}: gone: {line}" for line in old if line not in new]
        found += [f"{name}: left: {line}" for line in new if line not in old]
    return found
