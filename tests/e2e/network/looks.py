"""Looks at the network of a host of the test bed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from tests.testbed import Host

_LOOKS = {
    "links": "ip -d -o link",
    "addresses": "ip -o address",
    "routes": "ip route show table all; ip -6 route show table all",
    "rules": "ip rule; ip -6 rule",
    "nft": "nft list ruleset",
    "settings": "cat /proc/sys/net/ipv4/ip_forward",
    "run": "ls -A /run | grep -vx netns; ls -A /run/netns 2>/dev/null",
}
# Times and counters, which change by themselves; the kernel numbers new links.
_MOVING = re.compile(r"(valid_lft|preferred_lft|expires|packets|bytes) \S+|tentative|@if\d+")


def scan(host: Host) -> list[str]:
    """Return all of a host's network, a line each, to be compared with another time."""
    found = []
    for name, look in _LOOKS.items():
        text = host.run(f"{{ {look}; }} 2>&1", user="root", check=False).stdout
        for line in _MOVING.sub("", text).splitlines():
            # The kernel makes these when it has found that nobody else has the address.
            if "proto kernel" not in line or "fe80::" not in line:
                found.append(f"{name}: {' '.join(line.split())}")
    return sorted(found)


def differences(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return the lines that are gone, and those that are new."""
    gone = [f"- {line}" for line in before if line not in after]
    return [*gone, *(f"+ {line}" for line in after if line not in before)]


def interface(host: Host, name: str) -> dict[str, Any]:
    """Return an interface as ip shows it."""
    shown = host.run(f"ip -j address show dev {name}", user="root").stdout
    (found,) = json.loads(shown)
    return dict(found)
