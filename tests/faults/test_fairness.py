"""What is much work on one host is not felt on another."""

from __future__ import annotations

import statistics

import pytest
from tests.faults.lab import APPLICATION, Lab

from nepiq.controller import ResourceAction, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "sshd"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-hosts-lost"),
]


def test_a_crowd_on_one_host_is_not_felt_on_another(lab: Lab) -> None:
    with lab.stand.experiment("crowd") as ec:
        busy, quiet = lab.nodes(ec, lab.bed.hosts[:2])
        gate = ec.register_resource("nepiq::Null")
        crowd = [
            ec.register_resource(
                APPLICATION, command=f"sleep {30 if number % 4 else 0.2}", connectedTo=busy
            )
            for number in range(200)
        ]
        few = [
            ec.register_resource(APPLICATION, command="date +%s.%N", connectedTo=quiet)
            for _ in range(15)
        ]
        for guid in crowd:
            ec.register_condition(guid, ResourceAction.START, gate, ResourceState.STARTED)
        for number, guid in enumerate(few):
            ec.register_condition(
                guid, ResourceAction.START, gate, ResourceState.STARTED, number * 0.1
            )
        ec.deploy()
        assert ec.wait_started(gate, timeout=60.0)
        opened = lab.stand.milestone(ec, gate, "STARTED")
        assert ec.wait_finished(few, timeout=30.0)
        waiting = sum(ec.state(guid) is ResourceState.READY for guid in crowd)
        late = [
            float(ec.trace(guid, "stdout")) - opened - number * 0.1
            for number, guid in enumerate(few)
        ]
        assert min(late) >= 0.0
        assert ec.wait_started(crowd, timeout=60.0)
        queued = [lab.stand.milestone(ec, guid, "STARTED") - opened for guid in crowd]
        print(
            f"\nbeside 200 starts: median {statistics.median(late) * 1e3:.0f} ms late, max "
            f"{max(late) * 1e3:.0f} ms; {waiting} of the 200 still waited then, which were "
            f"{statistics.median(queued) * 1e3:.0f} ms late"
        )
        # By their order, since a machine that is busy with other things delays both: what was due
        # in the first quarter of the time that the crowd took has not waited for the crowd.
        crowded = statistics.median(queued)
        early = [
            number * 0.1 + seconds
            for number, seconds in enumerate(late)
            if number * 0.1 <= crowded / 4
        ]
        assert statistics.median(early) < crowded
        ec.release()
        lab.expect_nothing(ec.run_id)
