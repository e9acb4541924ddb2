"""Hosts that are leased: the run that has the newest lease uses them, and no earlier one."""

from __future__ import annotations

import secrets

import pytest

from nepiq.controller.errors import FencedError
from nepiq.controller.model.pools import HostLease

from .rig import Rig, until

OLD, NEW = (
    HostLease("host-1:22", 1_763_789_000_000_000),
    HostLease("host-1:22", 1_763_789_000_000_001),
)

#: Three runs. Processes are found by the run, so no other process of tests has these.
A, B, C = (f"run-{secrets.token_hex(6)}" for _ in range(3))


def started(rig: Rig, run_id: str, lease: HostLease | None, node: int = 1) -> None:
    """Deploy a node under a lease, with a process that leaves its group."""
    rig.host(node, node=node, run_id=run_id).prepare(lease=lease)
    rig.host(5, node=node, run_id=run_id).supervise("setsid sleep 300 & sleep 300")
    until(lambda: len(rig.bearers(run_id)) >= 3)  # the supervisor, the command, what it left


def test_the_next_run_ends_what_the_last_one_left(rig: Rig) -> None:
    started(rig, A, OLD)
    late = rig.host(1, run_id=A)
    started(rig, B, NEW)
    assert rig.bearers(A) == {}
    assert len(rig.bearers(B)) >= 3
    # Whatever the earlier one tries is refused, its deployment too.
    for act in (
        lambda: rig.host(5, run_id=A).run("touch ran"),
        lambda: rig.host(5, 2, run_id=A).supervise("touch ran"),
        lambda: late.prepare(lease=OLD),
        lambda: rig.host(7, node=7, run_id=C).prepare(lease=OLD),
    ):
        with pytest.raises(FencedError):
            act()
    # Its outputs are still there, and its release is none of others.
    assert (rig.home / f".nepiq/{A}/1/5/1/stdout").exists()
    rig.host(1, run_id=A).dismantle()
    assert len(rig.bearers(B)) >= 3
    rig.host(1, run_id=B).prepare(lease=NEW)


def test_the_next_run_removes_what_was_not_to_be_kept(rig: Rig) -> None:
    """The host was down when the earlier one was released."""
    rig.host(1, run_id=A).prepare(lease=OLD, remove=True)
    rig.host(5, run_id=A).supervise("sleep 300")
    started(rig, B, NEW)
    assert rig.bearers(A) == {}
    assert not (rig.home / f".nepiq/{A}").exists()


def test_the_list_of_a_host_was_lost(rig: Rig) -> None:
    """As a worker that is killed while it writes it leaves it."""
    started(rig, A, OLD)
    (rig.home / ".nepiq/leases/host-1:22").write_text("")
    started(rig, B, NEW)
    assert rig.bearers(A) == {}


def test_all_nodes_of_an_earlier_run_are_ended(rig: Rig) -> None:
    started(rig, A, OLD)
    started(rig, A, OLD, node=4)
    rig.host(7, node=7, run_id=A).prepare(lease=OLD)
    rig.host(7, node=7, run_id=A).dismantle()
    started(rig, B, NEW)
    assert rig.bearers(A) == {}
    assert not list((rig.home / ".nepiq" / A).glob("*/lease"))
    rig.host(1, run_id=B).dismantle()
    started(rig, C, NEW)
    assert (rig.home / ".nepiq/leases/host-1:22").read_text() == f"{NEW.token}\n{C}/1\n"


def test_what_was_released_is_left_alone(rig: Rig) -> None:
    started(rig, A, OLD)
    rig.host(1, run_id=A).dismantle()
    assert not (rig.home / f".nepiq/{A}/1/lease").exists()
    started(rig, B, NEW)
    with pytest.raises(FencedError, match="the run has ended here"):
        rig.host(1, run_id=A).prepare(lease=OLD)
    with pytest.raises(FencedError, match="the host was leased to another run"):
        rig.host(1, run_id=C).prepare(lease=OLD)


def test_hosts_that_share_a_home_and_runs_without_a_lease(rig: Rig) -> None:
    started(rig, A, OLD)
    started(rig, B, None, node=2)
    started(rig, C, NEW._replace(host="host-2:22"), node=3)
    # Two nodes of one run that lease one host one after the other.
    rig.host(4, node=4, run_id=A).prepare(lease=NEW)
    for run_id in (A, B, C):
        assert len(rig.bearers(run_id)) >= 3
