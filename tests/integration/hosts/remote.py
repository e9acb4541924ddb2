"""A run on a test host, over SSH, without an engine."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import replace

from tests.testbed.bed import Testbed
from tests.testbed.host import Host

from nepiq.controller.model.login import Login
from nepiq.controller.model.resource import Placement
from nepiq.controller.model.timing import Deadline
from nepiq.workers.hosts import SessionPool, ShellHost, SshSession


class Node:
    """A node on a host that is logged in to."""

    home = ""

    def __init__(self, login: Login) -> None:
        self._login = login

    def placement(self) -> Placement:
        return Placement("default", local=False, limit=8)

    def login(self) -> Login:
        return self._login


class Remote:
    """A worker's view of the hosts of a bed.

    Args:
        bed: the hosts.
        machine: the name of this worker machine in messages.
    """

    def __init__(self, bed: Testbed, machine: str = "lab-pc") -> None:
        self.bed = bed
        self.pool = SessionPool(machine, str(bed.ssh_config))
        self.run_id = f"run-{secrets.token_hex(6)}"
        self._tokens = itertools.count(1_763_789_000_000_000)

    def login(self, host: Host | str, **changes: object) -> Login:
        """How to log in to a host, or to an address as if it were one."""
        address = host if isinstance(host, str) else host.address
        login = Login(address, "lab", identity=str(self.bed.identity), connect_timeout=5.0)
        return replace(login, **changes)  # type: ignore[arg-type]

    def session(self, login: Login) -> SshSession:
        """A session with whoever the login names."""
        made = self.pool.session(Node(login))
        assert isinstance(made, SshSession)
        return made

    def host(
        self, login: Login, guid: int = 1, occasion: int = 1, *, seconds: float = 30.0
    ) -> ShellHost:
        """The host as the next attempt of a resource sees it. Its node has guid 1."""
        return ShellHost(
            self.session(login),
            run_id=self.run_id,
            exp_id="exp",
            node=1,
            guid=guid,
            occasion=occasion,
            token=next(self._tokens),
            deadline=Deadline.after(seconds),
            where=f"app-{guid} on {login.hostname}",
        )

    def close(self) -> None:
        """Close every session."""
        self.pool.close()
