"""Campaigns on a pool whose workers are killed: hosts are given back, each point has one row."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from tests.e2e.pooled import campaign, noted
from tests.faults.lab import Lab
from tests.stand import until
from tests.testbed import Testbed

pytestmark = [
    pytest.mark.needs("redis-server", "sshd", "flock", "setsid"),
    pytest.mark.timeout(240),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-pools"),
    pytest.mark.usefixtures("every_host"),
]

POINTS = 12


def test_workers_are_killed(testbed: Testbed, tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", testbed) as lab:
        # This one dies when it has requested hosts, and has not begun the runs that got them.
        (doomed,) = lab.start_workers(1, NEPIQ_FAULT="placed=kill")
        sweep = campaign(lab.stand, "sweep", ["one"], POINTS, "host-[1-2]", 0.3)
        sweep.submit()
        assert doomed.ended() == -signal.SIGKILL
        pools = lab.stand.backend().pools
        assert len(pools.allocation().leases) == 2
        assert sweep.status().begun == 0

        doomed, _ = lab.start_workers(2)
        for number, _ in enumerate(sweep.rows(follow=True), 1):
            if number == 3:
                break
        doomed.signal(signal.SIGKILL)
        record = sweep.wait(150.0)
        assert (record.phase, record.finished, record.placing) == ("finished", POINTS, 0)
        rows = Counter((row.point, row.repetition) for row in sweep.rows())
        assert (len(rows), set(rows.values())) == (POINTS, {1})
        until(lambda: not pools.allocation().leases, 15.0, "leases were left")
        assert not pools.allocation().queue
        begun = noted(testbed.hosts[:2])
        assert all(begun[row.run_id] for row in sweep.rows())
