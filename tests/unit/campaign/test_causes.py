"""The same cause in many runs has one text, and says who is to blame."""

from __future__ import annotations

from typing import Any

import pytest

from nepiq.controller import Failure, WaitTimeout
from nepiq.controller import errors as tree
from nepiq.controller.campaign.causes import (
    Again,
    Blame,
    cause_of,
    normalised,
)
from nepiq.controller.campaign.row import LONGEST_TEXT, Row
from nepiq.workers.hosts import exit_journal


def failure(kind: str, message: str, label: str = "app", **more: Any) -> Failure:
    values: dict[str, Any] = {"guid": 7, "critical": True, "released": False, "info": {}}
    values |= {"rtype": "linux::Application", "where": f"{label} on here", "hint": ""}
    return Failure(**{**values, "kind": kind, "message": message, "label": label, **more})


@pytest.mark.parametrize(
    ("kind", "message", "blame"),
    [
        ("HostUnreachable", "cannot reach root@fit01 (10.0.0.1:22)", Blame.HOST),
        ("HostSilent", "", Blame.HOST),
        ("LoginRefused", "root@fit01 does not let root in with key", Blame.HOST),
        ("HostKeyError", "fit01 has another key than is known for it", Blame.HOST),
        ("AnswerError", "the host's answer is not understood", Blame.HOST),
        ("CommandError", "exited with 1: cp: x: No space left on device", Blame.HOST),
        ("WorkerGone", "worker machine w1 has been gone for 31 s", Blame.WORKER),
        ("NoWorker", "no worker serves site a", Blame.WORKER),
        ("RedisUnreachable", "", Blame.WORKER),
        ("DeadlineError", "not done within 60 s, in 2 attempts", Blame.TIMEOUT),
        ("StartTimeout", "not 'file:x' within 5 s", Blame.TIMEOUT),
        ("WaitTimeout", "", Blame.TIMEOUT),
        ("CommandError", "exited with 127: sh: foo: not found", Blame.EXPERIMENT),
        ("InvalidValue", "delay cannot be 'x'", Blame.EXPERIMENT),
        ("ZeroDivisionError", "division by zero", Blame.EXPERIMENT),
        ("text", "the name of a module of errors", Blame.EXPERIMENT),
    ],
)
def test_blame(kind: str, message: str, blame: Blame) -> None:
    cause = cause_of([failure(kind, message)])
    assert cause is not None
    assert cause.blame is blame
    again = {Blame.TIMEOUT: Again.POLICY, Blame.EXPERIMENT: Again.NEVER}
    assert cause.again is again.get(blame, Again.FREE)


@pytest.mark.parametrize("reason", [exit_journal._LOST, *exit_journal._REASONS.values()])
def test_a_process_that_was_lost_with_its_host_is_not_the_fault_of_its_command(reason: str) -> None:
    cause = cause_of([failure("CommandError", reason)])
    assert cause is not None
    assert cause.blame is Blame.HOST


@pytest.mark.parametrize("outcome", ["OVERDUE", "EXPIRED"])
def test_a_process_that_was_ended_by_its_time_limit_is_a_timeout(outcome: str) -> None:
    cause = cause_of([failure("CommandError", exit_journal._reason(outcome, 143, "was busy"))])
    assert cause is not None
    assert cause.blame is Blame.TIMEOUT


def test_a_full_disk_is_found_in_stderr_too() -> None:
    info = {"stderr": "tar: write error: No space left on device"}
    cause = cause_of([failure("CommandError", "command 'tar x' exited with 2", info=info)])
    assert cause is not None
    assert cause.blame is Blame.HOST


def test_which_errors_of_hosts_are_the_fault_of_the_experiment() -> None:
    """A class that is new in the tree belongs to the experiment, unless it is listed in causes."""
    kinds = [
        kind
        for kind in vars(tree).values()
        if isinstance(kind, type) and issubclass(kind, (tree.HostError, tree.InfrastructureError))
    ]
    blamed = {kind.__name__: cause_of([failure(kind.__name__, "x")]) for kind in kinds}
    assert {
        name for name, cause in blamed.items() if cause and cause.blame is Blame.EXPERIMENT
    } == {
        *("HostError", "CommandError", "FileMissing", "IsDirectory", "Cancelled"),
        *("UploadFailed", "NoHostError"),
    }


SAME = [
    (
        "cannot reach root@fit01 (10.0.0.1:22) from worker machine w-1.lab: timed out in 10.5 s",
        "cannot reach root@fit23 (10.0.0.23:22) from worker machine other: timed out in 9 s",
    ),
    (
        "exited with 1: 2026-11-30T01:26:06.123Z pid 4711: /tmp/tmp.aB3/x: refused",
        "exited with 1: 2026-12-01T11:00:59.001Z pid 99: /var/tmp/tmp.Zz9/y: refused",
    ),
    (
        "cannot read /root/.nepiq/exp/20261130012606123456/12/1/out.csv",
        "cannot read /home/me/.nepiq/exp/20261130012607000000/3/1/out.csv",
    ),
    ("connect to fe80::1%eth0 failed", "connect to fe80::2ff:fe00:12ab%eth0 failed"),
    ("the key is SHA256:abc+/12=", "the key is SHA256:Zyx9/9+="),
    ("object 0x7f866fd32840 of 3f2a9c81d4e5 lost", "object 0x7f00 of 9a8b7c6 lost"),
    ("fit01: no route to fit02", "fit11: no route to 10.1.2.3"),
    (
        "command 'iperf3 -c 10.0.0.2 -b 10M' exited with 1: at Mon Nov 30 01:26:06 UTC 2026",
        "command 'iperf3 -c 10.0.0.9 -b 2.5M' exited with 1: at Tue Dec 1 11:26:06 CET 2026",
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_differs_from_run_to_run_is_no_part_of_a_cause(one: str, other: str) -> None:
    hosts = [f"fit{number:02}" for number in range(1, 30)]
    assert normalised(one, hosts) == normalised(other, hosts)
    assert one != normalised(one, hosts)


def test_hosts_that_are_known_are_replaced_whole() -> None:
    assert normalised("root@n1:22 and n10, not n1x", ["n1", "n10"]) == "<host> and <host>, not n1x"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("exited with 1", "exited with 127"),
        ("ended by signal 9", "ended by signal 15"),
        ("no device eth0", "no device eth1"),
        ("No such file: a", "No such file: b"),
    ],
)
def test_what_makes_a_difference_stays(one: str, other: str) -> None:
    assert normalised(one) == one
    assert normalised(other) == other


def test_a_cause_reads_well() -> None:
    message = "exited with 1: iperf3: error - unable to connect to server 10.0.0.7: refused"
    cause = cause_of([failure("CommandError", message, "client")])
    assert cause is not None
    assert str(cause) == (
        "CommandError client: exited with 1: iperf3: error - "
        "unable to connect to server <host>: refused"
    )
    assert cause.example == message
    assert cause.guid == 7


def test_the_first_failure_is_the_cause_unless_a_host_was_lost() -> None:
    first = failure("CommandError", "exited with 1: connection refused", "client")
    lost = failure("HostUnreachable", "no reply from the host for 30 s", "sta-3")
    one, both = cause_of([first]), cause_of([first, lost])
    assert one is not None
    assert both is not None
    assert (one.label, one.blame) == ("client", Blame.EXPERIMENT)
    # It does not matter which of the stations it was.
    assert (both.label, both.blame) == ("sta-*", Blame.HOST)
    idle = failure("HostUnreachable", "no reply", critical=False)
    assert cause_of([first, idle]) == one
    assert cause_of([]) is None


def test_an_error_of_the_whole_run_is_a_cause() -> None:
    cause = cause_of(WaitTimeout("it takes longer than 60 s"))
    assert str(cause) == "WaitTimeout: it takes longer than <n> s"


def test_long_messages_stay_within_a_row() -> None:
    cause = cause_of([failure("CommandError", "exited with 1: " + "long word " * 300)])
    assert len(str(cause)) <= LONGEST_TEXT
    row = Row("c", "p", {}, 1, 0, "r", outcome="failed", cause=str(cause))
    assert row.cause == str(cause)


def test_400_failures_of_one_cause_have_one_text() -> None:
    texts = {
        str(cause_of([failure("HostUnreachable", f"cannot reach a@fit{n} in {n} s")]))
        for n in range(400)
    }
    assert len(texts) == 1
