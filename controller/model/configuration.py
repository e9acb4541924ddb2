"""The configuration of a host's network: changes, and the names of what they make."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass

from ..errors import InvalidValue
from ..errors.text import quoted

#: The tools that carry changes out.
TOOLS = ("ip", "tc", "nft", "sysctl", "sh", "hosts")

#: Protocol of the routes and rules that nepiq adds (rtnetlink(7)), to find them by.
ROUTE_PROTOCOL = 113

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(r"[A-Za-z0-9_.:/-]+=[^\n]*", re.ASCII)


@dataclass(frozen=True)
class Change:
    """One change of a host's configuration, and what undoes it.

    Attributes:
        command: one line, as the tool reads it: arguments of ip(8) or tc(8), a statement of nft(8),
            ``KEY=VALUE`` of sysctl(8), a command of sh(1) run as root, a line of hosts(5). Empty
            for none, if the change before has something more to undo. A command of sh that fails
            undoes itself what it has made.
        undo: the same for what undoes it; empty if the undo of another change does, or for sysctl,
            which gets its former value back unless another resource has set it, too. It is recorded
            on the host before the change is made, so that after a crash it may run although the
            change was not made, and must not harm anything else then. If the change is refused, as
            because something of the name is there, it does not run.
        tool: ``ip``, ``tc``, ``nft``, ``sysctl``, ``sh``; or ``hosts`` for the names of emulated
            hosts, which all of them on the machine have in /etc/hosts: its undo is the same line.
        netns: the network namespace in which; empty for that of the host itself; None for where the
            resource acts: the host, or the emulated host to which it is connected.
        line: a line that a command of sh reads from its input. Those that are the same command
            share a process, which gets the lines of all and answers each by a line: ``ok``, or
            what is wrong. The last answer is that to all that have none.

    Raises:
        InvalidValue: a text has more than one line, or is no change of the tool.
    """

    command: str
    undo: str = ""
    tool: str = "ip"
    netns: str | None = None
    line: str = ""

    def __post_init__(self) -> None:
        """Check the texts."""
        if self.tool not in TOOLS:
            raise InvalidValue(f"{quoted(self.tool)} is not one of {', '.join(TOOLS)}")
        for text in (self.command, self.undo, self.line):
            if "\n" in text or "\0" in text:
                raise InvalidValue(f"a change must be one line: {quoted(text)}")
        if self.line and (self.tool != "sh" or "\t" in self.command):
            raise InvalidValue(
                f"only a command of sh without tabs reads a line: {quoted(str(self))}"
            )
        if self.tool == "sysctl" and not _KEY.fullmatch(self.command):
            raise InvalidValue(f"{quoted(self.command)} is not KEY=VALUE of sysctl")

    def __str__(self) -> str:
        """Return the change as a shell command."""
        if self.tool in ("ip", "tc"):
            where = f"-n {self.netns} " if self.netns else ""
            return f"{self.tool} {where}{self.command}"
        where = f"ip netns exec {self.netns} " if self.netns else ""
        if self.line:
            return f"printf '%s\\n' {shlex.quote(self.line)} | {where}{self.command}"
        if self.tool == "hosts":
            return f"echo {self.command} >>/etc/hosts"
        program = {"nft": "nft ", "sysctl": "sysctl -w "}.get(self.tool, "")
        return f"{where}{program}{self.command}"


def run_mark(run_id: str) -> str:
    """Return six letters and digits that stand for a run in names on hosts."""
    return _base36(int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8], "big"))[-6:]


def namespace_name(run_id: str, guid: int) -> str:
    """Return the name of the network namespace of an emulated host: ``nq-<mark of run>-<guid>``."""
    return f"nq-{run_mark(run_id)}-{guid}"


def device_name(run_id: str, guid: int, end: str = "", *, begin: str = "nq") -> str:
    """Return the name of a network interface of a resource on a host, at most 15 characters.

    Linux allows no more (IFNAMSIZ of netdevice(7)). It is unique for the run and the resource.

    Args:
        run_id: the run.
        guid: the resource, below 36**5.
        end: a letter or two, for the interfaces of one resource.
        begin: how it begins, at most three letters.
    """
    return f"{begin}{run_mark(run_id)}{_base36(guid)}{end}"


def link_alias(run_id: str, guid: int) -> str:
    """Return the alias (ip-link(8)) of interfaces of a resource, by which they are found."""
    return f"nepiq:{run_id}.{guid}"


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"
