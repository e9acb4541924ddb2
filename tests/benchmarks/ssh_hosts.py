"""SSH servers on loopback addresses, with accounts that exist nowhere else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

PROGRAMS = ("unshare", "ssh-keygen", "sftp")
FIRST_PORT = 2222
START_SECONDS = 20.0
# A login that no worker knows is a session that no worker has: each cold sample takes one.
ACCOUNTS = 200
FIRST_UID = 64000

CONFIG = """\
HostKey {folder}/host_key
AuthorizedKeysFile /run/sshd/authorized_keys
MaxSessions {max_sessions}
MaxStartups 500
UsePAM no
UseDNS no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PidFile none
LogLevel INFO
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Login:
    """What it takes to reach a host; scripts get it as JSON.

    ``port`` 0 is this machine, where ``home`` stands for the account's.
    """

    hostname: str
    username: str = ""
    port: int = 0
    identity: str = ""
    known_hosts: str = ""
    server_key: str = ""
    home: str = ""

    def plain(self) -> dict[str, str | int]:
        """As JSON."""
        return asdict(self)


@dataclass
class Hosts:
    """Servers that run: how to log in, and how often somebody has.

    Attributes:
        server: process id of what has started them in a process namespace of their own.
    """

    folder: Path
    addresses: Sequence[str]
    port: int
    max_sessions: int
    server: int = 0
    _next: int = field(default=1, init=False)

    def new_account(self) -> str:
        """An account that nobody has used."""
        if self._next == ACCOUNTS:
            raise RuntimeError(f"all {ACCOUNTS} accounts are used: ask for fewer rounds")
        self._next += 1
        return _account(self._next - 1)

    def known_account(self) -> str:
        """The account to which sessions may be open."""
        return _account(0)

    def logins(self, count: int, account: str) -> list[Login]:
        """To so many of the hosts as one account."""
        key = " ".join((self.folder / "host_key.pub").read_text().split()[:2])
        return [
            Login(
                address,
                account,
                self.port,
                str(self.folder / "identity"),
                str(self.folder / "known_hosts"),
                key,
            )
            for address in self.addresses[:count]
        ]

    def accepted(self) -> int:
        """How many connections were let in since the start."""
        logs = (self.folder / f"{address}.log" for address in self.addresses)
        return sum(log.read_text(errors="replace").count("Accepted publickey") for log in logs)


class Localhost(Hosts):
    """This machine under many names, reached without SSH: tries nepiq's side of a workload."""

    def logins(self, count: int, account: str) -> list[Login]:
        """To the worker machine, so many times."""
        home = self.folder / account
        home.mkdir(parents=True, exist_ok=True)
        return [Login("localhost", home=str(home))] * count

    def accepted(self) -> int:
        """There are no connections."""
        return 0


def _account(number: int) -> str:
    return f"bench{number:03}"


@contextmanager
def ssh_hosts(
    folder: Path, count: int, max_sessions: int, *, apart: bool = False
) -> Iterator[Hosts]:
    """Servers on 127.0.0.2 and following, one process each; they end with the block.

    Args:
        folder: for their keys, configuration and logs.
        count: how many.
        max_sessions: sessions that a connection may have.
        apart: whether commands on one see no processes of the others, as on machines.

    Raises:
        RuntimeError: they need root or a program that is not there, or did not start.
    """
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    missing = [name for name in PROGRAMS if not shutil.which(name)] + ["sshd"] * (not sshd)
    if missing or os.geteuid() != 0:
        what = ", ".join(missing) or "root"
        raise RuntimeError(f"the SSH hosts need {what}; --localhost tries nepiq's side without")
    addresses = [f"127.0.0.{2 + number}" for number in range(count)]
    hosts = Hosts(folder, addresses, _free_port(addresses), max_sessions)
    _write(hosts)
    script = str(Path(__file__).with_suffix(".sh"))
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command += ["sh", script, str(folder), str(sshd), str(hosts.port), *addresses]
    environment = {**os.environ, "APART": "1" if apart else ""}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    ) as server:
        try:
            _wait_ready(hosts, server)
            hosts.server = server.pid
            yield hosts
        finally:
            server.communicate(timeout=START_SECONDS)


def _free_port(addresses: Sequence[str]) -> int:
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        try:
            for address in addresses:
                with closing(socket.socket()) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((address, port))
        except OSError:
            continue
        return port
    raise RuntimeError(f"no port from {FIRST_PORT} on is free on {', '.join(addresses)}")


def _write(hosts: Hosts) -> None:
    folder = hosts.folder
    folder.mkdir()
    for name in ("host_key", "identity"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    shutil.copy(folder / "identity.pub", folder / "authorized_keys")
    key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(
        "".join(f"[{address}]:{hosts.port} {key}" for address in hosts.addresses)
    )
    accounts = ((_account(number), FIRST_UID + number) for number in range(ACCOUNTS))
    (folder / "passwd").write_text(
        Path("/etc/passwd").read_text().rstrip("\n")
        + "".join(f"\n{name}:*:{uid}:65534::/home/{name}:/bin/sh" for name, uid in accounts)
        + "\n"
    )
    (folder / "sshd_config").write_text(CONFIG.format(**vars(hosts)))


def _wait_ready(hosts: Hosts, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    for address in hosts.addresses:
        while not _greets(address, hosts.port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no SSH server on {address}:{hosts.port}; logs: {hosts.folder}")
            time.sleep(0.02)


def _greets(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=START_SECONDS) as connection:
            return connection.recv(4) == b"SSH-"
    except ConnectionError:
        return False
