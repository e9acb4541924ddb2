"""A host of the test bed, as a worker reaches it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.testbed import Host, Testbed

from nepiq.controller.model.durations import Deadline
from nepiq.controller.model.login import Login
from nepiq.workers.hosts import Attempt, SessionPool, ShellHost
from nepiq.workers.sessions.ssh import Connection, SshSession
from nepiq.workers.sessions.ssh.transport import Wire

from .rig import until

MACHINE = "lab-1"


def wires() -> list[Wire]:
    """The SSH connections of this process that live."""
    return [thread for thread in threading.enumerate() if isinstance(thread, Wire)]


class Remote:
    """The sessions of one worker with the hosts of a bed.

    Args:
        bed: the hosts.
        config: an ssh_config file instead of the bed's.
    """

    def __init__(self, bed: Testbed, config: Path | None = None) -> None:
        self.bed = bed
        self.host: Host = (bed.hosts or bed.private)[0]
        self.pool = SessionPool(MACHINE, str(config or bed.ssh_config))

    def connection(self, login: Login | None = None) -> Connection:
        """The connection with a machine; with the first host if none is named."""
        return self.pool.connection(login or Login(self.host.name))

    def session(self, login: Login | None = None, home: str = "") -> SshSession:
        """A session with a machine; with the first host if none is named."""
        return SshSession(self.connection(login), home=home)

    def shell(self, login: Login | None = None, timeout: float = 20.0, home: str = "") -> ShellHost:
        """The host as the deployment of a node sees it."""
        return ShellHost(
            Attempt(
                self.session(login, home),
                run_id=f"run-{secrets.token_hex(6)}",
                exp_id="exp",
                node=1,
                guid=1,
                occasion=1,
                token=1_763_789_000_000_000,
                deadline=Deadline.after(timeout),
                where="node-1",
            )
        )

    def login(self, **attributes: object) -> Login:
        """A login on the first host that says some things by itself."""
        return replace(Login(self.host.name), **attributes)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close every connection; none of their threads may stay."""
        self.pool.close()
        until(lambda: not wires())


@contextmanager
def own_bed(hosts: int = 1, private: int = 0, **options: str) -> Iterator[Remote]:
    """A bed whose hosts have other options of sshd from their first connection on."""
    with Testbed(hosts=hosts, private=private, sshd=options) as bed:
        remote = Remote(bed)
        try:
            yield remote
        finally:
            remote.close()
