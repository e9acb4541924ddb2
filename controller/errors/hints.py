"""Hints that fit the cause of a command's failure.

The cause is looked for at the end of standard error first, and in the exit code after that. The
texts are those of Linux tools in the C locale; a line of another locale gets the hint of its code.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: Characters at the end of standard error in which a cause is looked for.
LONGEST = 2000

_MODULE = "the kernel of that host lacks it: load its module, as root, or use another host"


class _Cause(NamedTuple):
    """A line of standard error, and what to do about it."""

    line: re.Pattern[str]
    hint: str


def _cause(line: str, hint: str) -> _Cause:
    return _Cause(re.compile(line, re.IGNORECASE | re.MULTILINE), hint)


# The first that matches is used. Sources: tc(8) and ip(8) of iproute2, strerror(3), sh(1), apt.
_CAUSES = (
    _cause(
        r"qdisc kind is unknown",
        "the kernel of that host lacks this qdisc: load its module, as root (modprobe sch_netem, "
        "sch_tbf and the like), or use another host",
    ),
    _cause(r"Unknown qdisc ", "tc of that host does not know this qdisc: correct its name"),
    _cause(r"Unknown device type|Unknown link kind", "the kind of link is unknown: " + _MODULE),
    _cause(
        r"TC classifier not found|Failed to load TC action",
        "the kernel of that host lacks this filter: load its module, as root (modprobe cls_u32, "
        "act_mirred and the like)",
    ),
    _cause(r"RTNETLINK answers: (Operation|Protocol) not supported", _MODULE),
    _cause(
        r"Cannot find device|Device \S+ does not exist|No such device",
        "that host has no such network device: ip link lists them; if another resource makes it, "
        "wait for that with a condition",
    ),
    _cause(
        r"RTNETLINK answers: File exists|Address already assigned|"
        r"Cannot create namespace file .*File exists",
        "it exists already, perhaps from another run: nepiq clean, or choose another name",
    ),
    _cause(
        r"\b(ip|tc): (command )?not found|failed to execute (ip|tc): |ip: BusyBox v",
        "install the package iproute2 on that host",
    ),
    _cause(
        r"\bnft: (command )?not found|failed to execute nft: ",
        "install the package nftables on that host",
    ),
    _cause(
        r"Address already in use",
        "another process has this address: choose another port, or find that process by ss -tlnp",
    ),
    _cause(
        r"Cannot assign requested address",
        "no interface of that host has this address: ip addr lists them",
    ),
    _cause(
        r"Connection refused",
        "nothing listens there: start it once the server listens, by a condition on a server with "
        "startedWhen; or connect a measuring tool to the resource that is its server",
    ),
    _cause(r"No space left on device|Disk quota exceeded", "make room on that host"),
    _cause(r"Read-only file system", "write to another place: that file system is read-only"),
    _cause(
        r"Too many open files", "raise the limit by ulimit -n in the command, up to that of root"
    ),
    _cause(
        r"Cannot allocate memory|Out of memory|MemoryError|std::bad_alloc",
        "that host, or the limit set by memory, has no more memory",
    ),
    _cause(
        r"Exec format error|cannot execute binary file",
        "it is built for another machine, or a script lacks its first line, as #!/bin/sh",
    ),
    _cause(
        r"error while loading shared libraries: ",
        "install the package with that library, by depends, or give its directory in "
        "env, LD_LIBRARY_PATH",
    ),
    _cause(
        r"ModuleNotFoundError: No module named",
        "install that module of Python on the host, such as by depends",
    ),
    _cause(
        r"Operation not permitted|Permission denied|must be (run as )?root|are you root",
        "the login user may not do this: set sudo=True, or correct the permissions",
    ),
)

# What dash, bash and busybox print of a command that they do not find.
_MISSING = re.compile(r"(?P<name>[\w.+-]{1,60}): (?:command )?not found", re.ASCII)

_CODES = {
    126: "found, but not executable: set its permissions by chmod +x, or run it by its interpreter",
    127: "command not found on that host: install the package of {name} by depends, or give its "
    "full path",
    137: "ended by signal 9 (KILL), which the kernel sends when memory runs out: see dmesg there",
}


def exit_hint(code: int | None, stderr: str = "") -> str:
    """Return a hint for a command that failed, or empty text.

    Args:
        code: its exit code, as of a POSIX shell (sh(1), "Exit Status"); None if it is unknown.
        stderr: the end of its standard error.
    """
    end = stderr[-LONGEST:]
    for cause in _CAUSES:
        if cause.line.search(end):
            return cause.hint
    if code in _CODES:
        missing = _MISSING.search(end)
        return _CODES[code].format(name=missing["name"] if missing else "the command")
    if code is not None and 128 < code < 160:
        return f"ended by signal {code - 128}"
    return ""
