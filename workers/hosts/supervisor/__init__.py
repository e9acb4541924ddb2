"""The supervisor: the shell script that acts on hosts, in parts."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

#: In the order in which a shell reads them: parts that every command runs come first, and the last
#: one calls the verb.
PARTS = (
    "basics",
    "folders",
    "supervision",
    "fence",
    "starts",
    "root",
    "processes",
    "ends",
    "commands",
    "transfer",
    "contents",
    "journal",
    "records",
    "plan",
    "changes",
    "host_names",
    "undo",
    "namespaces",
    "kernel_settings",
    "sweep",
    "logs",
    "node",
    "cleanup",
)


#: A line that is a comment or empty. No part has one in a text of several lines.
_COMMENT = re.compile(rb"^[ \t]*(#.*)?\n", re.MULTILINE)


@cache
def script() -> bytes:
    """Return the parts as one script without comments and a newline at its end.

    Each deployment of a host sends it, and an environment variable has no room for much more.
    """
    folder = resources.files(__package__)
    parts = (folder.joinpath(f"{part}.sh").read_bytes() for part in PARTS)
    return _COMMENT.sub(b"", b"".join(parts)).rstrip(b"\n")
