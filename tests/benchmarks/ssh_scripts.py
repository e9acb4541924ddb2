"""Scripts as users write them, each run in a fresh interpreter on SSH hosts.

The span is the same for every side: from the start of the interpreter to the moment when the
script holds every output, which it prints. What is spent counts until the script has ended, so
that closing connections and nepiq's release are in it.
"""

from __future__ import annotations

import filecmp
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .measure import Measured
from .ssh_hosts import Hosts, Login

SCRIPTS = Path(__file__).with_name("scripts")
LIMIT_SECONDS = 300
TICKS = os.sysconf("SC_CLK_TCK")
# Keys come from files, so asking an agent would only cost time; users have no types of ours.
UNWANTED = ("SSH_AUTH_SOCK", "NEPIQ_IMPORTS")
# A warm worker has a session to each host, so each of the two must have had a step there.
WARMING = 8


@dataclass
class Site:
    """What the sides run on, filled in when it has been started.

    Attributes:
        copy_mb: size of the file that is copied, in units of 1 000 000 bytes.
        folder: for files of the run.
        servers: process ids of what works for nepiq: Redis and the workers.
        no_hosts: why there are no SSH hosts, if so.
    """

    copy_mb: int
    folder: Path = Path()
    servers: Sequence[int] = ()
    no_hosts: str = "the SSH hosts were not started"
    _hosts: Hosts | None = field(default=None, init=False)

    @property
    def hosts(self) -> Hosts:
        """The SSH hosts.

        Raises:
            RuntimeError: there are none.
        """
        if self._hosts is None:
            raise RuntimeError(self.no_hosts)
        return self._hosts

    @hosts.setter
    def hosts(self, hosts: Hosts) -> None:
        self._hosts = hosts


@dataclass(frozen=True)
class Fan:
    """So many hosts with so many applications each, all at once."""

    hosts: int
    applications: int
    command: str
    script: str = "fan"

    @property
    def outputs(self) -> int:
        """How many there must be."""
        return self.applications * (self.hosts if self.script == "fan" else 1)


def ours(site: Site, task: Fan, warm: bool) -> Measured:
    """nepiq, with workers that run and have sessions to the hosts, or never had any."""
    account = site.hosts.known_account() if warm else site.hosts.new_account()
    logins = site.hosts.logins(task.hosts, account)
    if warm:
        _run(site, "nepiq_fan", for_nepiq(logins), [str(WARMING), "echo"])
    arguments = [str(task.applications), task.command]
    measured = _span(site, f"nepiq_{task.script}", for_nepiq(logins), arguments, task.outputs)
    remote = sum(1 for login in logins if login.port)
    if not warm and measured.costs["logins"] < remote:
        # Without this a figure of another session, or of none, would pass for one over SSH.
        raise RuntimeError(f"{measured.costs['logins']:g} logins on {remote} hosts: not cold")
    return measured


def nepi_ng(site: Site, task: Fan) -> Measured:
    """nepi-ng, which has nothing that could stay open between scripts."""
    logins = site.hosts.logins(task.hosts, site.hosts.known_account())
    arguments = [str(task.applications), task.command, str(site.hosts.max_sessions)]
    return _span(site, f"nepi_ng_{task.script}", _for_peer(logins), arguments, task.outputs)


def exits(site: Site, script: str, count: int) -> Measured:
    """From the last act of a remote process, to print the time, to its end known to the script."""
    logins = site.hosts.logins(1, site.hosts.known_account())
    plain = for_nepiq(logins) if script.startswith("nepiq") else _for_peer(logins)
    # The pause lets the start pass, so that only the exit is measured.
    _, said, costs = _run(site, script, plain, [str(count), "sleep 0.3; date +%s.%N"])
    pairs = zip(said["ends"], said["outputs"], strict=True)
    return Measured([end - float(output) for end, output in pairs], costs)


def pings(site: Site, kind: str, hosts: int, count: int) -> Measured:
    """From the start of a script to the end of all its pings, on hosts with open sessions."""
    logins = for_nepiq(site.hosts.logins(hosts, site.hosts.known_account()))
    _run(site, "nepiq_fan", logins, [str(WARMING), "echo"])
    began, said, costs = _run(site, "nepiq_pings", logins, [str(count), kind])
    if said["outputs"] != ["1"] * (hosts * count):
        raise RuntimeError(f"{said['outputs'].count('1')} of {hosts * count} pings were answered")
    return Measured([said["end"] - began], costs)


def copies(site: Site, script: str, hosts: int) -> Measured:
    """A file to all hosts and back from each, by a script or by ``sftp``; the copies compared."""
    logins = site.hosts.logins(hosts, site.hosts.known_account())
    source = _source(site)
    with tempfile.TemporaryDirectory(dir=site.folder) as folder:
        if script == "sftp":
            measured = _sftp(site, logins, source, Path(folder))
        else:
            plain = for_nepiq(logins) if script.startswith("nepiq") else _for_peer(logins)
            measured = _span(site, script, plain, [str(source), folder], 0)
        for number in range(hosts):
            if not filecmp.cmp(source, Path(folder, str(number)), shallow=False):
                raise RuntimeError(f"copy {number} differs from what was sent")
    return measured


def for_nepiq(logins: Iterable[Login]) -> list[dict[str, Any]]:
    """The attributes of a node."""
    return [
        {
            "hostname": login.hostname,
            "username": login.username,
            "port": login.port,
            "identity": login.identity,
            "serverKey": login.server_key,
        }
        if login.port
        else {"hostname": login.hostname, "home": login.home}
        for login in logins
    ]


def _for_peer(logins: Iterable[Login]) -> list[dict[str, Any]]:
    return [login.plain() for login in logins]


def _span(
    site: Site, script: str, logins: Sequence[Any], arguments: Sequence[str], outputs: int
) -> Measured:
    began, said, costs = _run(site, script, logins, arguments)
    numbers = sorted(int(number) for output in said["outputs"] for number in output.split())
    if numbers != list(range(outputs)):
        raise RuntimeError(f"{script} has {len(numbers)} of {outputs} outputs")
    return Measured([said["end"] - began], costs)


def _run(
    site: Site, script: str, logins: Sequence[Any], arguments: Sequence[str]
) -> tuple[float, Any, dict[str, float]]:
    """Run a script; when it began, what it printed, and what it cost."""
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), json.dumps(logins), *arguments]
    servers = site.servers if script.startswith("nepiq") else ()
    environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}

    with _counted(site, servers) as costs:
        began = time.time()
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            env=environment,
            check=False,
        )
    if done.returncode:
        last = (done.stderr.splitlines() or ["nothing on stderr"])[-1]
        raise RuntimeError(f"{script} ended with {done.returncode}: {last}")
    return began, json.loads(done.stdout.splitlines()[-1]), costs


@contextmanager
def _counted(site: Site, servers: Sequence[int] = ()) -> Iterator[dict[str, float]]:
    """Fill in what the block cost when it has ended: processor time, and connections made."""
    spent, accepted = _spent(servers), site.hosts.accepted()
    costs: dict[str, float] = {}
    yield costs
    costs["CPU s"] = _spent(servers) - spent
    costs["logins"] = site.hosts.accepted() - accepted


def _sftp(site: Site, logins: Sequence[Login], source: Path, folder: Path) -> Measured:
    """OpenSSH's sftp, one for each host, all at once."""
    common = ["sftp", "-q", "-F", "none", "-b", "-", "-o", "IdentitiesOnly=yes"]

    with _counted(site) as costs:
        began = time.time()
        running = []
        for number, login in enumerate(logins):
            command = [*common, "-P", str(login.port), "-i", login.identity]
            command += ["-o", f"UserKnownHostsFile={login.known_hosts}"]
            command += [f"{login.username}@{login.hostname}"]
            batch = f"put {source} copy-{number}\nget copy-{number} {folder / str(number)}\n"
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
            )
            assert process.stdin is not None
            process.stdin.write(batch)
            process.stdin.close()
            running.append(process)
        failed = [process.wait() for process in running if process.wait()]
        took = time.time() - began
    if failed:
        raise RuntimeError(f"sftp ended with {failed}")
    return Measured([took], costs)


def _source(site: Site) -> Path:
    path = site.folder / "source"
    if not path.exists():
        with path.open("wb") as file:
            for _ in range(site.copy_mb):
                file.write(os.urandom(1_000_000))
    return path


def _spent(servers: Iterable[int]) -> float:
    """Processor seconds of our ended children, and of servers with their ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = used.ru_utime + used.ru_stime
    for server in servers:
        fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(ticks) for ticks in fields[11:15]) / TICKS
    return total
