"""Search for remains of runs on one host, and their removal.

``python -m nepiq.workers.upkeep.host_cleanup`` is the part of ``nepiq clean`` that reaches the
host, as a worker would. It reads one JSON object from stdin: ``host``, ``identity``, ``gateway``,
``home``, ``machine``, ``ssh_config``, ``known``, the runs that Redis has, and ``remove``, the runs
whose remains are removed first. It writes one JSON object: ``found``, or ``error``. The caller
decides which runs are dead.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from shlex import quote
from typing import Any

from ...controller.errors import HostError, NepiqError, details
from ...controller.model.durations import Deadline
from ...controller.model.login import Login
from ...controller.model.resource import Placement
from ...controller.model.values import SecretReference
from ..hosts import Attempt, SessionPool, ShellHost
from ..hosts.paths import names_a_run
from ..sessions.session import Session
from . import kernel_remains

_LOOK_SECONDS, _CLEAN_SECONDS = 60.0, 120.0
_RUN = r"(?P<run>[0-9A-Za-z][0-9A-Za-z._-]{0,62}?)"
_DIRECTORY = re.compile(
    rf"directory\t{_RUN}/(?P<node>[1-9][0-9]{{0,15}})\t(?P<size>[0-9]*)\t(?P<name>.*)"
)
_MARK = rf"(?P<mark>{_RUN}\.([0-9]+|sudo)(\.[0-9]+)?(\.supervisor)?)"
_PROCESS = re.compile(rf"process\t(?P<pid>[0-9]+) (?P<ours>[01])\t{_MARK}\t(?P<command>.*)")
#: Processes in containers are skipped; so are processes of another home, as their variable HOME or
#: working directory shows. Names that no run uses are skipped, since a line end in one could forge
#: a line of the output. Links are skipped, since their targets would be removed.
_LIST = r"""
base={base} LC_ALL=C
here=$(readlink /proc/self/ns/pid)
cd "$base" 2>/dev/null && for mark in [0-9A-Za-z]*/[0-9]*/exp; do
    node=${{mark%/exp}}
    case $node in *[!0-9A-Za-z._/-]*) continue ;; esac
    [ ! -L "${{node%/*}}" ] && [ ! -L "$node" ] && [ -f "$mark" ] || continue
    read -r name <"$mark" || continue
    printf 'directory\t%s\t%s\t%s\n' "$node" "$(du -sk "$node" | cut -f 1)" "$name"
done
value() {{ tr '\0' '\n' <"$file" | sed -n "s/^$1=//p" | head -n 1; }}
for file in $(LC_ALL=C grep -lsz '^NEPIQ_ID=' /proc/[0-9]*/environ); do
    id=$(value NEPIQ_ID) pid=${{file#/proc/}} pid=${{pid%/environ}} ours=0
    case $id in '' | *[!0-9A-Za-z._-]*) continue ;; esac
    [ "$(readlink "/proc/$pid/ns/pid")" = "$here" ] || continue
    case $(readlink "/proc/$pid/cwd") in "$base"/*) ours=1 ;; esac
    [ "$base" != "$HOME/.nepiq" ] || [ "$(value HOME)" != "$HOME" ] || ours=1
    printf 'process\t%s %s\t%s\t%s\n' "$pid" "$ours" "$id" \
        "$(tr '\0\n\t' '   ' <"/proc/$pid/cmdline" | cut -c 1-200)"
done 2>/dev/null
"""


@dataclass
class Process:
    """A process with the mark of a run in its environment.

    Attributes:
        pid: its process id on the host.
        mark: its NEPIQ_ID.
        command: its command line.
    """

    pid: int
    mark: str
    command: str


@dataclass
class Remains:
    """The remains of one run on a host.

    Attributes:
        run_id: the run.
        experiment: the name of its experiment; empty if only processes remain.
        nodes: guids of the nodes that have a directory.
        kilobytes: size of the directories.
        processes: those with its mark.
        network: what it has configured; see :class:`.KernelRemains`.
        marks: those in the names of that.
    """

    run_id: str
    experiment: str = ""
    nodes: list[int] = field(default_factory=list)
    kilobytes: int = 0
    processes: list[Process] = field(default_factory=list)
    network: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A host as named by the user; for :class:`SessionPool`.

    Attributes:
        host: ``localhost`` for this machine, else ``[user@]host[:port]``.
        identity: path of a private key.
        gateway: jump hosts, outermost first, separated by commas; ``none`` connects directly.
        home: absolute directory that contains ``.nepiq`` there; the login home if empty.
    """

    host: str
    identity: str = ""
    gateway: str = ""
    home: str = ""

    def placement(self) -> Placement:
        """Return where the host is reached from."""
        return Placement("default", local=self.host == "localhost", limit=10)

    def login(self) -> Login:
        """Return how to log in to the host."""
        direct = self.gateway == "none"
        then = Login("", identity=self.identity)
        gateway = Login.chain(self.gateway, then) if self.gateway and not direct else None
        login = Login.parse(self.host)
        return replace(login, identity=self.identity, gateway=gateway, direct=direct)


def look(session: Session, known: Iterable[str] = ()) -> list[Remains]:
    """Return the remains on a host by run, without what no run can have created.

    Args:
        session: with the host.
        known: runs that exist or have existed, by which marks in the kernel are understood.

    Raises:
        HostError: the host cannot be reached, or the search failed.
    """
    base = quote(f"{session.home.rstrip('/')}/.nepiq") if session.home else '"$HOME"/.nepiq'
    script = _LIST.format(base=base) + kernel_remains.SCRIPT
    done = session.execute(script, deadline=Deadline.after(_LOOK_SECONDS))
    if done.code:
        raise HostError(
            f"search for remains of runs failed: {done.stderr.decode('utf-8', 'replace').strip()}"
        )
    by_run: dict[str, Remains] = {}
    # Not splitlines(): command lines may contain carriage returns and the like.
    lines = done.stdout.decode("utf-8", "replace").split("\n")
    for line in lines:
        match = _DIRECTORY.fullmatch(line) or _PROCESS.fullmatch(line)
        if match is None or not names_a_run(match["run"]):
            continue
        if match.re is _DIRECTORY:
            remains = by_run.setdefault(match["run"], Remains(match["run"]))
            remains.experiment = match["name"]
            remains.nodes.append(int(match["node"]))
            remains.kilobytes += int(match["size"] or 0)
        elif match["ours"] == "1" or match["run"] in by_run:  # directories come first
            remains = by_run.setdefault(match["run"], Remains(match["run"]))
            process = Process(int(match["pid"]), match["mark"], match["command"].strip())
            remains.processes.append(process)
    for run, item in kernel_remains.parse(lines, {*known, *by_run}).items():
        remains = by_run.setdefault(run, Remains(run))
        remains.nodes += sorted(item.nodes - set(remains.nodes))
        remains.network, remains.marks = item.things, sorted(item.marks)
    return sorted(by_run.values(), key=lambda remains: remains.run_id)


def remove(
    session: Session,
    remains: Remains,
    nodes: Iterable[int] = (),
    sudo_password: SecretReference | None = None,
) -> None:
    """End the processes of a run on a host, and remove its directories and its configuration.

    Args:
        session: with the host.
        remains: the remains of the run.
        nodes: guids under which nothing may be started there any more, in addition to those found.
        sudo_password: reference to the password for sudo there.

    Raises:
        HostError: a process cannot be ended, a directory or something in the kernel cannot be
            removed.
    """

    def host(node: int) -> ShellHost:
        return ShellHost(
            Attempt(
                session,
                run_id=remains.run_id,
                exp_id=remains.experiment,
                node=node,
                guid=node,
                occasion=1,
                token=0,
                deadline=Deadline.after(_CLEAN_SECONDS),
                where=f"run {remains.run_id}",
                sudo_password=sudo_password,
            )
        )

    marks = sorted({process.mark for process in remains.processes})
    nobodys = remains.run_id == kernel_remains.NOBODY
    if not nobodys:
        for node in sorted({*remains.nodes, *nodes}) or [0]:
            host(node).tidy(marks)
    if remains.network:
        host(0).sweep(remains.marks, routes=nobodys)


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out a request and return the reply; see the module."""
    place = Place(request["host"], request["identity"], request["gateway"], request["home"])
    pool = SessionPool(request["machine"], request["ssh_config"])
    failed: dict[str, list[str]] = defaultdict(list)
    try:
        session = pool.session(place)
        for remains in look(session, request["known"]):
            if remains.run_id in request["remove"]:
                _try(session, remains, failed)
        found = look(session, request["known"])
        return {"found": [asdict(remains) for remains in found], "failed": failed}
    except NepiqError as error:
        return {"error": details(error), "code": error.exit_code}
    finally:
        pool.close()


def _try(session: Session, remains: Remains, failed: dict[str, list[str]]) -> None:
    try:
        remove(session, remains)
    except HostError as error:
        failed[remains.run_id].append(str(error))


if __name__ == "__main__":
    json.dump(serve(json.load(sys.stdin)), sys.stdout)
