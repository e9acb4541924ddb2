"""Applications of one host that end at the same moment, over SSH with one session to spare."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.lab import APPLICATION, Lab
from tests.stand import until
from tests.testbed import Testbed

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "sshd"),
    pytest.mark.timeout(240),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-hosts-lost"),
]

MANY = 40
PATIENT = "tests.faults.patient"
# Ends once TERM has come to so many, but not before.
SOCIABLE = (
    'mark() { for file in "$HOME"/term-*; do printf x; done; }; '
    f"trap ': >~/term-$$; until [ $(mark | wc -c) -ge {MANY} ]; do sleep 0.1; done; exit 0' TERM; "
    "echo up; while :; do sleep 0.1; done"
)
IGNORANT = "trap ': >~/term-$$' TERM; echo up; while :; do sleep 0.1; done"


@pytest.fixture
def own_lab(testbed: Testbed, tmp_path: Path) -> Iterator[Lab]:
    """A lab without workers, whose first host lets in one session beside that of the watch."""
    testbed.hosts[0].configure(MaxSessions="2")
    with Lab(tmp_path, testbed) as lab:
        yield lab


def describe(lab: Lab, ec: ExperimentController, command: str, count: int) -> list[int]:
    (node,) = lab.nodes(ec, [lab.host])
    return [
        ec.register_resource(
            APPLICATION, command=command, connectedTo=node, startedWhen="output:up"
        )
        for _ in range(count)
    ]


def terms(lab: Lab) -> int:
    """How many have got TERM."""
    return len(list((lab.host.root / "lab").glob("term-*")))


def forget_terms(lab: Lab) -> None:
    for file in (lab.host.root / "lab").glob("term-*"):
        file.unlink()


def codes(lab: Lab, run_id: str) -> set[str]:
    """How the commands of a run ended, by the host's records."""
    records = (lab.host.root / f"lab/.nepiq/{run_id}").glob("*/*/*/.exit")
    return {" ".join(file.read_text().split()[:2]) for file in records}


def test_a_release_of_many_has_one_grace(own_lab: Lab) -> None:
    """None ends by itself before TERM has come to all; so none does that waits for its turn."""
    lab = own_lab
    lab.start_workers(1, NEPIQ_IMPORTS=PATIENT)
    with lab.stand.experiment("sociable") as ec:
        apps = describe(lab, ec, SOCIABLE, MANY)
        ec.deploy()
        assert ec.wait_started(apps, timeout=90.0)
        ec.release()
        assert ec.failures == []
        assert codes(lab, ec.run_id) == {"0 STOPPED"}
        forget_terms(lab)
        lab.expect_nothing(ec.run_id, lab.host)


def test_stops_at_one_moment_have_one_grace(own_lab: Lab) -> None:
    lab = own_lab
    lab.start_workers(1)
    with lab.stand.experiment("stops") as ec:
        apps = describe(lab, ec, IGNORANT, MANY)
        gate = ec.register_resource("nepiq::Null")
        for guid in apps:
            ec.register_condition(gate, ResourceAction.START, guid, ResourceState.STARTED)
            ec.register_condition(guid, ResourceAction.STOP, gate, ResourceState.STARTED)
        ec.deploy()
        assert ec.wait_finished(apps, timeout=150.0)
        assert {ec.state(guid) for guid in apps} == {ResourceState.STOPPED}
        assert codes(lab, ec.run_id) == {"137 STOPPED"}
        ends = [lab.stand.milestone(ec, guid, "STOPPED") for guid in apps]
        print(f"\n{MANY} that ignore TERM within {max(ends) - min(ends):.1f} s")
        assert max(ends) - min(ends) < 10.0  # They would be at least four graces, eight at a time.
        ec.release()
        forget_terms(lab)
        lab.expect_nothing(ec.run_id, lab.host)


def test_the_worker_is_killed_while_it_ends_many(own_lab: Lab) -> None:
    lab = own_lab
    (doomed,) = lab.start_workers(1, NEPIQ_IMPORTS=PATIENT)
    with lab.stand.experiment("doomed") as ec, ThreadPoolExecutor(1) as threads:
        apps = describe(lab, ec, IGNORANT, 12)
        ec.deploy()
        assert ec.wait_started(apps, timeout=60.0)
        releasing = threads.submit(ec.release)
        until(lambda: terms(lab) == len(apps), 60.0, "TERM did not come to all")
        doomed.signal(signal.SIGKILL)
        doomed.ended()
        lab.start_workers(1)
        releasing.result()
        assert ec.failures == []
        assert {ec.state(guid) for guid in apps} == {ResourceState.RELEASED}
        assert codes(lab, ec.run_id) == {"137 STOPPED"}
        forget_terms(lab)
        lab.expect_nothing(ec.run_id, lab.host)
