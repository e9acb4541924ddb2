"""The workloads on SSH hosts, with nepi-ng as the peer."""

from __future__ import annotations

from functools import partial

from . import ssh_scripts
from .measure import Budget, Workload
from .report import OURS
from .ssh_scripts import Fan, Site

COLD, WARM, NEPI_NG, SFTP = f"{OURS} cold", f"{OURS} warm", "nepi-ng", "sftp"
APPLICATION = f"{OURS} application"
MOST_HOSTS = 20
EXITS = 5
SPAN = "interpreter start → every stdout in hand"


def _script(
    site: Site,
    name: str,
    what: str,
    task: Fan,
    limits: tuple[Budget, ...] = (),
    rounds: int | None = None,
) -> Workload:
    return Workload(
        name=name,
        title=f"{what}: {SPAN}",
        sides={
            COLD: partial(ssh_scripts.ours, site, task, warm=False),
            WARM: partial(ssh_scripts.ours, site, task, warm=True),
            NEPI_NG: partial(ssh_scripts.nepi_ng, site, task),
        },
        budgets=limits,
        rounds=rounds,
        rival=NEPI_NG,
        ssh=True,
    )


def workloads(site: Site) -> list[Workload]:
    """What ``make bench`` measures over SSH."""
    level = (Budget("ratio", 1.0),)
    sleep = Fan(MOST_HOSTS, 20, "sleep 1; echo")
    return [
        _script(site, "ssh-one", "1 SSH host, 1 application", Fan(1, 1, "echo"), level),
        _script(site, "ssh-4x5", "4 SSH hosts, 5 applications each", Fan(4, 5, "echo"), level),
        _script(
            site, "ssh-20x20", "20 SSH hosts, 20 applications each that take 1 s", sleep, rounds=3
        ),
        _script(
            site,
            "ssh-chain",
            "10 applications over 4 SSH hosts, each after the end of the one before",
            Fan(4, 10, "echo", script="chain"),
        ),
        Workload(
            name="ssh-exit",
            title="exit of a process on an SSH host → known to the waiting script",
            sides={
                OURS: partial(ssh_scripts.exits, site, "nepiq_exit", EXITS),
                NEPI_NG: partial(ssh_scripts.exits, site, "nepi_ng_exit", EXITS),
            },
            budgets=(Budget("median", 0.1),),
            rival=NEPI_NG,
            ssh=True,
        ),
        Workload(
            name="ssh-pings",
            title="20 linux::Ping with figures on each of 20 SSH hosts: start → all FINISHED",
            sides={
                OURS: partial(ssh_scripts.pings, site, "linux::Ping", MOST_HOSTS, 20),
                APPLICATION: partial(ssh_scripts.pings, site, "linux::Application", MOST_HOSTS, 20),
            },
            budgets=(Budget("ratio", 1.1),),
            rival=APPLICATION,
            ssh=True,
        ),
        _copy(site, 4),
    ]


def _copy(site: Site, hosts: int) -> Workload:
    return Workload(
        name="ssh-copy",
        title=f"{site.copy_mb} MB to {hosts} SSH hosts at once and back from each: "
        "start → every copy there",
        sides={
            OURS: partial(ssh_scripts.copies, site, "nepiq_copy", hosts),
            SFTP: partial(ssh_scripts.copies, site, SFTP, hosts),
            NEPI_NG: partial(ssh_scripts.copies, site, "nepi_ng_copy", hosts),
        },
        rounds=2,
        rival=SFTP,
        ssh=True,
    )
