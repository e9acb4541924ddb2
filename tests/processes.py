"""Processes of a machine as /proc shows them, read so cheaply that a test may look often.

A look at all processes is a system call or three for each of hundreds. Tests wait for processes
to end by looking every few milliseconds, so what a look costs is a good part of the suite.
"""

from __future__ import annotations

import os

#: Bytes; few environments and command lines are longer.
_PIECE = 1 << 15


def read(pid: int, name: str, root: str = "/proc") -> bytes:
    """A file of a process (proc(5)); empty if the process has ended."""
    try:
        file = os.open(f"{root}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        pieces = [os.read(file, _PIECE)]
        while len(pieces[-1]) == _PIECE:
            pieces.append(os.read(file, _PIECE))
        return b"".join(pieces)
    except OSError:
        return b""
    finally:
        os.close(file)


def pids(root: str = "/proc") -> list[int]:
    """The numbers of all processes."""
    return [int(name) for name in os.listdir(root) if name.isdigit()]  # noqa: PTH208 - a tenth


def children(pid: int) -> list[int]:
    """The children of a process, by whichever of its threads they were started."""
    path = f"/proc/{pid}/task"
    try:
        threads = os.listdir(path)  # noqa: PTH208 - as above
    except OSError:
        return []
    return [int(word) for name in threads for word in read(int(name), "children", path).split()]


def stat(pid: int) -> list[str]:
    """Fields of its state from the third on; empty if there is none."""
    return read(pid, "stat").decode(errors="replace").rpartition(") ")[2].split()


def alive(pid: int) -> bool:
    """Whether a process lives; one that nobody has collected yet does not."""
    return (stat(pid) or "X")[0] not in "ZX"


def words(pid: int) -> list[bytes]:
    """Its command line."""
    return read(pid, "cmdline").rstrip(b"\0").split(b"\0")


def command(pid: int) -> str:
    """Its command line as text."""
    return b" ".join(words(pid)).decode(errors="replace")


def identities(*starts: str, root: str = "/proc") -> dict[int, str]:
    """``NEPIQ_ID`` by pid, of processes that have one which begins as one of these."""
    variables = [f"\0NEPIQ_ID={start}".encode() for start in starts]
    found = {}
    for pid in pids(root):
        environment = b"\0" + read(pid, "environ", root)
        if (at := max(environment.find(variable) for variable in variables)) >= 0:
            found[pid] = environment[at + 10 :].partition(b"\0")[0].decode(errors="replace")
    return found


def has(pid: int, variable: str) -> bool:
    """Whether a process was started with a variable, of which ``NAME=`` or more is given."""
    return f"\0{variable}".encode() in b"\0" + read(pid, "environ")


def having(variable: str) -> list[int]:
    """Processes that were started with a variable, of which ``NAME=`` or more is given."""
    return [pid for pid in pids() if has(pid, variable)]
