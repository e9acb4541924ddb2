"""The supervisor: the shell script that acts on hosts, in parts."""

from __future__ import annotations

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


@cache
def script() -> bytes:
    """Return the parts as one script without a newline at its end, read once a process."""
    folder = resources.files(__package__)
    parts = (folder.joinpath(f"{part}.sh").read_bytes() for part in PARTS)
    return b"\n".join(parts).rstrip(b"\n")
