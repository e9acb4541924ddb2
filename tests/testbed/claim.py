"""What a bed claims on this machine: an address range, and names that no other bed has."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests import processes

from .spaces import MARK, PATH, TestbedFailed

STATE = Path("/run/nepiq-testbed")
# Two /24 each: the site, and the private network. Beds take the first pair that is free.
_PAIRS = tuple(ipaddress.IPv4Network("10.77.0.0/16").subnets(new_prefix=23))


@dataclass(frozen=True)
class Claim:
    """A bed's part of the machine, until :meth:`release`."""

    number: int
    mark: str

    @property
    def link(self) -> str:
        """The interface by which this machine is on the site."""
        return f"nepiq{self.number}"

    @property
    def site(self) -> ipaddress.IPv4Network:
        """Addresses of the site."""
        return next(_PAIRS[self.number].subnets())

    @property
    def private(self) -> ipaddress.IPv4Network:
        """Addresses of the private network."""
        return list(_PAIRS[self.number].subnets())[1]

    def release(self) -> None:
        """Give it back."""
        with _locked():
            _remove_link(self.link)
            _file(self.number).unlink(missing_ok=True)


def take(folder: Path | None) -> Claim:
    """Clear away what dead processes left, then claim a free range.

    Args:
        folder: what is to be removed if this process dies.

    Raises:
        TestbedFailed: every range is taken.
    """
    with _locked():
        for path in sorted(STATE.glob("*.json")):
            _clear_if_dead(path)
        used = _networks_in_use()
        for number, pair in enumerate(_PAIRS):
            if not _file(number).exists() and not any(pair.overlaps(other) for other in used):
                pid = os.getpid()
                claim = Claim(number, f"{number}.{pid}.{_start_of(pid)}")
                state = {"mark": claim.mark, "folder": str(folder) if folder else ""}
                draft = STATE / "draft"
                draft.write_text(json.dumps(state))
                draft.replace(_file(number))  # at once: we may be killed at any moment
                return claim
    raise TestbedFailed(f"every range of 10.77.0.0/16 is taken; see ip route, and {STATE}")


def bearers(mark: str) -> list[int]:
    """Processes 1 of a bed that live, and what they started without clearing its environment."""
    return processes.having(f"{MARK}={mark}\0")


def left_by(pids: Collection[int]) -> list[str]:
    """What beds of some processes left on this machine.

    Args:
        pids: processes that used to have beds.
    """
    if not STATE.is_dir():
        return []
    with _locked():
        found = []
        for path in sorted(STATE.glob("*.json")):
            mark = json.loads(path.read_text())["mark"]
            if int(mark.split(".")[1]) in pids:
                found.append(f"a test bed: {path}, processes {bearers(mark)}")
        links = Path("/sys/class/net").glob("nepiq[0-9]*")
        numbers = [path.name.removeprefix("nepiq") for path in links]
        return found + [f"link nepiq{n}" for n in numbers if not (STATE / f"{n}.json").exists()]


@contextmanager
def _locked() -> Iterator[None]:
    STATE.mkdir(mode=0o755, exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _file(number: int) -> Path:
    return STATE / f"{number}.json"


def _start_of(pid: int) -> str:
    """When a process started, in ticks since boot; empty if there is none (proc(5))."""
    return (processes.stat(pid) or [""] * 20)[19]


def _clear_if_dead(path: Path) -> None:
    """Remove a bed whose process is gone. Its hosts end by themselves, unless held."""
    state = json.loads(path.read_text())
    number, pid, start = state["mark"].split(".")
    if _start_of(int(pid)) == start:
        return
    for bearer in bearers(state["mark"]):
        with suppress(ProcessLookupError):
            os.kill(bearer, signal.SIGKILL)
    _remove_link(f"nepiq{number}")
    if state["folder"]:
        shutil.rmtree(state["folder"], ignore_errors=True)
    path.unlink()


def _remove_link(name: str) -> None:
    if Path(f"/sys/class/net/{name}").exists():
        # It may go by itself at this moment, with the switch that has its other end.
        command = ["ip", "link", "delete", name]
        subprocess.run(command, env={"PATH": PATH}, capture_output=True, check=False)


def _networks_in_use() -> list[ipaddress.IPv4Network]:
    """Networks that this machine has a route to. A route wider than /16 does not count as use."""
    told = subprocess.run(
        ["ip", "-json", "-4", "route", "show", "table", "all"],
        env={"PATH": PATH},
        capture_output=True,
        text=True,
        check=True,
    )
    found = []
    for route in json.loads(told.stdout or "[]"):
        with suppress(ValueError):  # "default"
            found.append(ipaddress.IPv4Network(route["dst"], strict=False))
    return [network for network in found if network.prefixlen >= 16]
