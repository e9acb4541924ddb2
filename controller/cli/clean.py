"""``nepiq clean``: find and remove leftovers of dead runs on hosts."""

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
from .console import Consoles, print_error, print_json, simple_table
from .runs import AsJson, reading

_MODULE = "nepiq.workers.upkeep.host_cleanup"
_DEAD = {"RELEASED", "EXPIRED", "unknown"}


@dataclass
class Leftover:
    """Directories, processes and network configuration of one run on one host.

    Attributes:
        host: the host.
        run_id: the run.
        experiment: name of the experiment; empty if the host does not know it.
        phase: phase of the run; ``unknown`` if this Redis has no record of it.
        nodes: guids of nodes that have a directory on the host.
        kilobytes: size of the directories.
        processes: ``pid``, ``mark`` and ``command`` of each process.
        network: what is left in the kernel of the host: namespaces, interfaces and the like.
        marks: those of the run in the names of that.
        removed: True once it has been removed.
    """

    host: str
    run_id: str
    experiment: str
    phase: str
    nodes: list[int]
    kilobytes: int
    processes: list[dict[str, Any]]
    network: list[str]
    marks: list[str]
    removed: bool = False

    @property
    def dead(self) -> bool:
        """True if the run is released or unknown to this Redis."""
        return self.phase in _DEAD


@dataclass(frozen=True)
class _Login:
    """The options of the login to hosts."""

    identity: str
    gateway: str
    home: str

    def inspect(
        self, host: str, known: Sequence[str], remove: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Inspect a host in a child process that may import worker code, after removing runs."""
        settings = Settings.from_environment()
        request = {
            **asdict(self),
            "host": host,
            "machine": settings.machine,
            "ssh_config": settings.ssh_config,
            "known": list(known),
            "remove": list(remove),
        }
        process = subprocess.run(
            [sys.executable, "-m", _MODULE],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode:
            raise HostError(f"cannot inspect {host}: {process.stderr.strip()[-300:]}")
        answer: dict[str, Any] = json.loads(process.stdout)
        if "error" in answer:
            info = answer["error"]
            kind = InvalidValue if answer["code"] == 2 else HostError
            raise kind(info["message"], where=info.get("where") or host, hint=info.get("hint", ""))
        return answer


def clean(
    hosts: Annotated[
        list[str],
        typer.Argument(
            metavar="HOST...", help="[user@]host[:port], or localhost for this machine."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the leftovers.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without confirmation.")] = False,
    identity: Annotated[str, typer.Option(help="Private key for the login.")] = "",
    gateway: Annotated[
        str, typer.Option(help="Jump hosts, outermost first; none to connect directly.")
    ] = "",
    home: Annotated[
        str, typer.Option(help="Directory that contains .nepiq; the home directory by default.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Find what dead runs left on hosts, and remove it.

    That is processes, directories, and configuration of the network: namespaces, interfaces,
    routes, tables of nft and keys of sysctl, also where their run is not known by its name.

    A run is dead if it is released or unknown to this Redis. Before confirming, check that the
    hosts are not used with another Redis too. Outputs that were not collected are removed.
    """
    if home and not home.startswith("/"):
        raise InvalidValue(f"home {home!r} is not an absolute path")
    login = _Login(identity, gateway, home)
    with reading() as access:
        leftovers, errors, unreachable = _inspect(access, login, hosts)
        dead = [item for item in leftovers if item.dead]
        if not as_json:
            _show(leftovers, complete=not errors)
        if dead and not dry_run:
            _confirm(dead, yes, interactive=not as_json)
            errors += _remove(access, login, dead)
            if not as_json:
                removed = sum(item.removed for item in dead)
                sys.stderr.write(f"removed the leftovers of {plural(removed, 'run')}\n")
        _unlist(access, [host for host in hosts if host not in unreachable], leftovers)
        if as_json:
            print_json(leftovers)
    for error in errors:
        print_error(error)
    if errors:
        raise typer.Exit(errors[0].exit_code)


def _inspect(
    access: Access, login: _Login, hosts: Iterable[str]
) -> tuple[list[Leftover], list[NepiqError], set[str]]:
    """Return the leftovers on hosts, the errors, and the hosts that were not inspected."""
    leftovers: list[Leftover] = []
    errors: list[NepiqError] = []
    unreachable: set[str] = set()
    known = _known(access)
    for host in hosts:
        try:
            answer = login.inspect(host, known)
        except NepiqError as error:
            errors.append(error)
            unreachable.add(host)
            continue
        for item in answer["found"]:
            leftovers.append(Leftover(host=host, phase=_phase(access, item["run_id"]), **item))
    return leftovers, errors, unreachable


def _unlist(access: Access, hosts: Iterable[str], leftovers: Iterable[Leftover]) -> None:
    """Remove clean hosts from the list of hosts of lost runs that ``nepiq doctor`` prints."""
    remaining = {(item.run_id, item.host) for item in leftovers if not item.removed}
    for item in access.backend.left():
        if item.host in hosts and (item.run_id, item.host) not in remaining:
            access.backend.nothing_left(item.run_id, item.host)


def _known(access: Access) -> list[str]:
    return [run.run_id for run in access.backend.runs()]


def _phase(access: Access, run_id: str) -> str:
    meta = access.backend.exact_run(run_id).store.meta()
    return "unknown" if meta is None else meta.phase


def _remove(access: Access, login: _Login, dead: Sequence[Leftover]) -> list[NepiqError]:
    errors: list[NepiqError] = []
    for host in dict.fromkeys(item.host for item in dead):
        # A run may have been created while the confirmation was pending.
        items = [item for item in dead if item.host == host]
        items = [item for item in items if _phase(access, item.run_id) in _DEAD]
        try:
            answer = login.inspect(host, _known(access), [item.run_id for item in items])
        except NepiqError as error:
            errors.append(error)
            continue
        remaining = {item["run_id"] for item in answer["found"]}
        for item in items:
            item.removed = item.run_id not in remaining
            for message in answer["failed"].get(item.run_id, ()):
                errors.append(HostError(message, where=host))
    return errors


def _show(leftovers: Sequence[Leftover], *, complete: bool) -> None:
    dead = [item for item in leftovers if item.dead]
    alive = len({item.run_id for item in leftovers if not item.dead})
    if dead:
        table = simple_table("host", "run", "experiment", "phase", "size", "processes", "network")
        for item in dead:
            size = f"{item.kilobytes} kB" if item.nodes else ""
            first = item.processes[0]["command"] if item.processes else ""
            first = one_line(first, LONGEST_LINE)
            processes = f"{len(item.processes)}: {first}" if item.processes else ""
            network = f"{len(item.network)}: {item.network[0]}" if item.network else ""
            row = (item.host, item.run_id, item.experiment, item.phase, size, processes, network)
            table.add_row(*row)
        Consoles().out.print(table)
    elif complete:
        sys.stderr.write("no leftovers of dead runs\n")
    if alive:
        sys.stderr.write(f"kept: {plural(alive, 'active run')}\n")


def _confirm(dead: Sequence[Leftover], yes: bool, *, interactive: bool) -> None:
    """Ask for confirmation of the removal.

    Raises:
        NotAllowed: the removal was not confirmed.
    """
    if yes:
        return
    if not (interactive and sys.stdin.isatty()):
        raise NotAllowed(
            "nothing was removed", hint="use --yes to remove, or --dry-run to only show"
        )
    runs = plural(len({item.run_id for item in dead}), "run")
    if not typer.confirm(f"Permanently remove the leftovers of {runs}?", err=True):
        raise NotAllowed("nothing was removed")
