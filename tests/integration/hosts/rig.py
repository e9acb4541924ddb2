"""A home of a test's own, and what acts in it."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests import processes

from nepiq.controller.model.durations import Deadline
from nepiq.controller.model.values import SecretReference
from nepiq.workers.hosts import Attempt, LocalSession, Session, ShellHost
from nepiq.workers.hosts.content_cache import Pieces


class Rig:
    """One run on this machine, in a home below ``folder``. Its node has guid 1.

    Args:
        folder: where its home is made.
        shell: a program to be found as ``sh`` on the host; the system's if empty.
    """

    def __init__(self, folder: Path, shell: str = "") -> None:
        self.home = folder / "a home"
        self.home.mkdir()
        env = {}
        if shell:
            tools = folder / "bin"
            tools.mkdir()
            (tools / "sh").symlink_to(shell)
            env["PATH"] = f"{tools}:{os.environ['PATH']}"
        self.run_id = f"run-{secrets.token_hex(6)}"
        self.session: Session = LocalSession(home=str(self.home), env=env)
        self.sudo_password: SecretReference | None = None
        self._tokens = itertools.count(1_763_789_000_000_000)
        self._runs = {(self.run_id, 1)}

    def host(
        self,
        guid: int,
        occasion: int = 1,
        *,
        node: int = 1,
        run_id: str = "",
        exp_id: str = "exp",
        token: int = 0,
        timeout: float = 30.0,
        cancel: threading.Event | None = None,
        pieces: Pieces | None = None,
    ) -> ShellHost:
        """The host as the next attempt of a resource sees it."""
        run_id = run_id or self.run_id
        self._runs.add((run_id, node))
        return ShellHost(
            Attempt(
                self.session,
                run_id=run_id,
                exp_id=exp_id,
                node=node,
                guid=guid,
                occasion=occasion,
                token=token or self.token(),
                deadline=Deadline.after(timeout),
                cancel=cancel,
                where=f"app-{guid}",
                sudo_password=self.sudo_password,
            ),
            pieces,
        )

    def token(self) -> int:
        """A token that is newer than all before."""
        return next(self._tokens)

    def prepare(self, node: int = 1, **how: bool) -> None:
        """Deploy a node."""
        self.host(node, node=node).prepare(**how)

    def root(self, node: int = 1) -> Path:
        """The directory of a node."""
        return self.home / ".nepiq" / self.run_id / str(node)

    def run_dir(self, guid: int, occasion: int = 1, node: int = 1) -> Path:
        """The run directory of a start."""
        return self.root(node) / str(guid) / str(occasion)

    def journal(self, node: int = 1) -> list[list[str]]:
        """The exits in the journal, as words."""
        text = (self.root(node) / "journal").read_text()
        assert text.endswith("\n")
        return [line.split(" ") for line in text.splitlines() if line.startswith("exit ")]

    def bearers(self, run_id: str = "") -> dict[int, str]:
        """Identity by pid, of all processes that bear one of our runs."""
        runs = [run_id] if run_id else [run for run, _ in self._runs]
        found = processes.identities(*(f"{run}." for run in runs))
        return {pid: _own_name(pid, identity) for pid, identity in found.items()}

    def supervisors(self) -> list[int]:
        """Pids of the living supervisors, without what they have forked."""
        found = self.bearers()
        return [
            pid
            for pid, name in found.items()
            if name.endswith(".supervisor")
            and (_session_of(pid) == pid or processes.read(pid, "comm")[:1].isdigit())
        ]

    def close(self) -> None:
        """Release every node, and check that nothing of them is left."""
        for run_id, node in sorted(self._runs):
            self.host(node, node=node, run_id=run_id).dismantle()
        left = self.bearers()
        self.session.close()
        assert left == {}
        # A watch of the journal ends by itself, once its connection has.
        until(lambda: commands_below(self.home) == [])


def _own_name(pid: int, identity: str) -> str:
    """The identity of a process. Of several that share one each tells by its name what it does."""
    head, _, last = identity.rpartition(".")
    run, name = head.rpartition(".")[0], processes.read(pid, "comm").decode().strip()
    if last != "supervisor" or "." in run or not name.replace(".", "").isdigit():
        return identity
    return f"{run}.{name}.supervisor"


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def commands_below(home: Path) -> list[str]:
    """Command lines of living processes that name a file below a directory."""
    return [line for pid in processes.pids() if str(home) in (line := processes.command(pid))]


def until(true: Callable[[], object], timeout: float = 10.0) -> None:
    """Wait for something that happens elsewhere and says nothing when it does."""
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
