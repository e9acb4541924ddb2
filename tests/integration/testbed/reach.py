"""How the tests of the test bed reach a host from outside."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.testbed import Host, Testbed


def ssh(
    bed: Testbed,
    host: Host,
    command: str,
    *,
    user: str = "lab",
    key: Path | None = None,
    text: str = "",
    seconds: float = 20.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command over OpenSSH, as the bed's configuration says."""
    line = ["ssh", "-F", str(bed.ssh_config), "-o", "BatchMode=yes", "-l", user]
    if key is not None:
        line = ["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-l", user, "-i", str(key)]
        line += ["-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={bed.known_hosts}"]
    return subprocess.run(
        [*line, host.address, command],
        input=text,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def connects(address: str, port: int = 22, seconds: float = 30.0) -> bool:
    """Whether a TCP connection is accepted; a first packet that is lost takes a second."""
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except OSError:
        return False
    return True


def greets(address: str, port: int = 22, seconds: float = 0.5) -> bool:
    """Whether what accepts the connection also says something."""
    with socket.create_connection((address, port), timeout=seconds) as connection:
        try:
            return connection.recv(4) == b"SSH-"
        except TimeoutError:
            return False


def answered(host: Host, address: str, count: int = 1) -> int:
    """How many of a host's pings to an address are answered, of ``count`` sent 2 ms apart."""
    told = host.run(f"ping -q -i 0.002 -W 0.3 -c {count} {address}", user="root", check=False)
    return int(told.stdout.partition(" packets transmitted, ")[2].split()[0])
