"""Workers that are killed while a host starts what they have asked for in one request."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.lab import APPLICATION, Lab
from tests.stand import until
from tests.testbed import Host, Testbed

from nepiq.controller import ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "sshd"),
    pytest.mark.timeout(240),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-hosts-lost"),
]

ROUNDS, MANY = 3, 24


@pytest.fixture
def own_lab(testbed: Testbed, tmp_path: Path) -> Iterator[Lab]:
    """A lab without workers."""
    with Lab(tmp_path, testbed) as lab:
        yield lab


def effects(host: Host) -> list[str]:
    """Who has run on a host, as often as it did."""
    path = host.root / "lab" / "effects"
    return path.read_text().split() if path.exists() else []


def test_each_starts_once_whichever_worker_dies(own_lab: Lab) -> None:
    """In each round all workers are killed after some of the starts, of which none was told."""
    lab = own_lab
    host = lab.host
    rng = random.Random(1)
    with lab.stand.experiment("starts") as ec:
        workers = lab.start_workers(2)
        (node,) = lab.nodes(ec, [host])
        ec.deploy([node])
        ec.wait_deployed([node])
        apps: list[int] = []
        for _ in range(ROUNDS):
            seen = len(effects(host))
            wanted = seen + rng.randrange(1, MANY)
            new = [
                ec.register_resource(
                    APPLICATION,
                    connectedTo=node,
                    command="echo $NEPIQ_ID >>~/effects; sleep 0.2; exit 3",
                    okExitCodes="3",
                )
                for _ in range(MANY)
            ]
            apps += new
            ec.deploy(new)
            until(lambda wanted=wanted: len(effects(host)) >= wanted, 60.0, "none starts")  # type: ignore[misc]
            for worker in workers:
                worker.signal(signal.SIGKILL)
            for worker in workers:
                worker.ended()
            workers = lab.start_workers(2)
            assert ec.wait_finished(new, timeout=90.0), ec.failures
        assert {ec.state(guid) for guid in apps} == {ResourceState.FINISHED}
        assert {ec.get(guid, "exitCode") for guid in apps} == {3}
        assert Counter(effects(host)) == {f"{ec.run_id}.{guid}.1": 1 for guid in apps}
        ec.release()
        assert ec.failures == []
    (host.root / "lab" / "effects").unlink()
    lab.expect_nothing(ec.run_id, host)
