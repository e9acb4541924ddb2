"""Clean: what dead runs left on hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from ..errors import HostError, InvalidValue, NepiqError, NotAllowed
from ..errors.text import LONGEST_LINE, one_line
from ..experiment.connect import Access
from ..reports.words import plural
from ..settings import Settings
from .console import Talk, complain, print_json, simple_table
from .runs import AsJson, reading

_MODULE = "nepiq.workers.upkeep.host_cleanup"
_DEAD = {"RELEASED", "EXPIRED", "unknown"}


@dataclass
class Found:
    """What one run left on one host.

    Attributes:
        host: the host.
        run_id: the run.
        experiment: the name of its experiment, if that is known there.
        phase: the run's, or ``unknown`` to this Redis.
        nodes: guids of nodes that have a directory there.
        kilobytes: size of the directories.
        processes: that run there: ``pid``, ``mark``, ``command``.
        removed: it has been removed.
    """

    host: str
    run_id: str
    experiment: str
    phase: str
    nodes: list[int]
    kilobytes: int
    processes: list[dict[str, Any]]
    removed: bool = False

    @property
    def dead(self) -> bool:
        """True if nobody in this Redis needs it."""
        return self.phase in _DEAD


@dataclass(frozen=True)
class _Way:
    """How hosts are reached, as the options say."""

    identity: str
    gateway: str
    home: str

    def ask(self, host: str, remove: Sequence[str] = ()) -> dict[str, Any]:
        """Have a process of the workers look at a host, after removing what is left of runs."""
        settings = Settings.from_environment()
        asked = {
            **asdict(self),
            "host": host,
            "machine": settings.machine,
            "ssh_config": settings.ssh_config,
            "remove": list(remove),
        }
        done = subprocess.run(
            [sys.executable, "-m", _MODULE],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise HostError(f"cannot look at {host}: {done.stderr.strip()[-300:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        if "error" in answer:
            told = answer["error"]
            kind = InvalidValue if answer["code"] == 2 else HostError
            raise kind(told["message"], where=told.get("where") or host, hint=told.get("hint", ""))
        return answer


def clean(
    hosts: Annotated[
        list[str],
        typer.Argument(metavar="HOST...", help="[user@]host[:port], or localhost itself."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it only.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove it without asking.")] = False,
    identity: Annotated[str, typer.Option(help="A private key to log in with.")] = "",
    gateway: Annotated[str, typer.Option(help="Machines to pass; none for none.")] = "",
    home: Annotated[str, typer.Option(help="Directory of .nepiq there; the login home.")] = "",
    as_json: AsJson = False,
) -> None:
    """Find what dead runs left on hosts, processes and directories, and remove it.

    Dead are runs that are released and those that this Redis does not know: if others use these
    hosts with another Redis, look closely. Outputs that were not collected are removed too.
    """
    if home and not home.startswith("/"):
        raise InvalidValue(f"home {home!r} is not an absolute path")
    way = _Way(identity, gateway, home)
    with reading() as access:
        found, failed, unseen = _look(access, way, hosts)
        dead = [item for item in found if item.dead]
        if not as_json:
            _show(found, complete=not failed)
        if dead and not dry_run:
            _confirm(dead, yes, asking=not as_json)
            failed += _remove(access, way, dead)
            if not as_json:
                removed = sum(item.removed for item in dead)
                sys.stderr.write(f"removed what {plural(removed, 'run')} left\n")
        _strike(access, [host for host in hosts if host not in unseen], found)
        if as_json:
            print_json(found)
    for error in failed:
        complain(error)
    if failed:
        raise typer.Exit(failed[0].exit_code)


def _look(
    access: Access, way: _Way, hosts: Iterable[str]
) -> tuple[list[Found], list[NepiqError], set[str]]:
    """What is on hosts, what went wrong, and the hosts that could not be looked at."""
    found: list[Found] = []
    failed: list[NepiqError] = []
    unseen: set[str] = set()
    for host in hosts:
        try:
            answer = way.ask(host)
        except NepiqError as error:
            failed.append(error)
            unseen.add(host)
            continue
        for item in answer["found"]:
            found.append(Found(host=host, phase=_phase(access, item["run_id"]), **item))
    return found, failed, unseen


def _strike(access: Access, hosts: Iterable[str], found: Iterable[Found]) -> None:
    """Have ``nepiq doctor`` name no host any more on which nothing is left of a lost run."""
    there = {(item.run_id, item.host) for item in found if not item.removed}
    for item in access.stack.left():
        if item.host in hosts and (item.run_id, item.host) not in there:
            access.stack.nothing_left(item.run_id, item.host)


def _phase(access: Access, run_id: str) -> str:
    meta = access.stack.exact_run(run_id).store.meta()
    return "unknown" if meta is None else meta.phase


def _remove(access: Access, way: _Way, dead: Sequence[Found]) -> list[NepiqError]:
    failed: list[NepiqError] = []
    for host in dict.fromkeys(item.host for item in dead):
        # Somebody may have answered the question late.
        items = [item for item in dead if item.host == host]
        items = [item for item in items if _phase(access, item.run_id) in _DEAD]
        try:
            answer = way.ask(host, [item.run_id for item in items])
        except NepiqError as error:
            failed.append(error)
            continue
        left = {item["run_id"] for item in answer["found"]}
        for item in items:
            item.removed = item.run_id not in left
            for message in answer["failed"].get(item.run_id, ()):
                failed.append(HostError(message, where=host))
    return failed


def _show(found: Sequence[Found], *, complete: bool) -> None:
    dead = [item for item in found if item.dead]
    alive = len({item.run_id for item in found if not item.dead})
    if dead:
        table = simple_table("host", "run", "experiment", "phase", "size", "processes")
        for item in dead:
            size = f"{item.kilobytes} kB" if item.nodes else ""
            first = item.processes[0]["command"] if item.processes else ""
            first = one_line(first, LONGEST_LINE)
            more = f"{len(item.processes)}: {first}" if item.processes else ""
            table.add_row(item.host, item.run_id, item.experiment, item.phase, size, more)
        Talk().out.print(table)
    elif complete:
        sys.stderr.write("nothing is left of dead runs\n")
    if alive:
        sys.stderr.write(f"{plural(alive, 'run')} there goes on, and is left alone\n")


def _confirm(dead: Sequence[Found], yes: bool, *, asking: bool) -> None:
    """Return if it may be removed.

    Raises:
        NotAllowed: it may not.
    """
    if yes:
        return
    if not (asking and sys.stdin.isatty()):
        raise NotAllowed("nothing was removed", hint="--yes removes it, --dry-run only shows it")
    runs = plural(len({item.run_id for item in dead}), "run")
    if not typer.confirm(f"Remove what {runs} left, for good?", err=True):
        raise NotAllowed("nothing was removed")
