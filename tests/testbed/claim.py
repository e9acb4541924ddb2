"""What a bed claims on this machine: an address range, and names that no other bed has."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests import processes

from .spaces import MARK, PATH, TestbedFailed

STATE = Path("/run/nepiq-testbed")
#: How the variable begins that all processes of a session of tests have.
SESSION = "TESTS_OF_"
# Two /24 each: the site, and the private network. Beds take the first pair that is free.
_PAIRS = tuple(ipaddress.IPv4Network("10.77.0.0/16").subnets(new_prefix=23))


@dataclass(frozen=True)
class Claim:
    """A bed's part of the machine, until :meth:`release`.

    Attributes:
        number: which range it is.
        mark: what processes 1 of the bed bear.
        lock: the open file of the claim, which is locked as long as this process lives.
    """

    number: int
    mark: str
    lock: int

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
            os.close(self.lock)


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
                mark = f"{number}.{secrets.token_hex(6)}"
                state = {
                    "mark": mark,
                    "folder": str(folder) if folder else "",
                    "pid": os.getpid(),
                    "namespace": _namespace(),
                    "session": session_of_tests(),
                }
                draft = STATE / "draft"
                draft.write_text(json.dumps(state))
                lock = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
                fcntl.flock(lock, fcntl.LOCK_EX)
                draft.replace(_file(number))  # at once: we may be killed at any moment
                return Claim(number, mark, lock)
    raise TestbedFailed(f"every range of 10.77.0.0/16 is taken; see ip route, and {STATE}")


def session_of_tests() -> str:
    """The variable that all processes of a session of tests have, of which this is one."""
    return next((name for name in os.environ if name.startswith(SESSION)), "")


def bearers(mark: str) -> list[int]:
    """Processes 1 of a bed that live, and what they started without clearing its environment."""
    return processes.having(f"{MARK}={mark}\0")


def left_by(session: str) -> list[str]:
    """What beds of a session of tests left on this machine.

    Args:
        session: the variable that its processes have.
    """
    if not STATE.is_dir():
        return []
    with _locked():
        found = []
        for path in sorted(STATE.glob("*.json")):
            state = json.loads(path.read_text())
            if state.get("session") == session:
                found.append(f"a test bed: {path}, processes {bearers(state['mark'])}")
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


def _namespace() -> str:
    """The PID namespace in which this process sees others (pid_namespaces(7))."""
    return str(Path("/proc/self/ns/pid").readlink())


def _clear_if_dead(path: Path) -> None:
    """Remove a bed whose process is gone. Its hosts end by themselves, unless held.

    Those of another process of our session, which we may not see, are told when the session ends.
    """
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        state = json.load(file)
    if state.get("namespace") != _namespace() and state.get("session") == session_of_tests() != "":
        return
    for bearer in bearers(state["mark"]):
        with suppress(ProcessLookupError):
            os.kill(bearer, signal.SIGKILL)
    _remove_link(f"nepiq{state['mark'].partition('.')[0]}")
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
