"""Campaigns whose runs lease hosts of a pool, on real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from tests.conftest import Need
from tests.e2e.pooled import campaign, noted
from tests.stand import Stand, until
from tests.testbed.bed import Testbed
from tests.testbed.spaces import missing

from nepiq.controller.engine.pools import PoolStore

pytestmark = [
    pytest.mark.needs("redis-server", "sshd", "flock", "setsid"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("campaign-pools"),
]


@pytest.fixture(scope="module")
def bed(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """Four hosts, and a fifth that refuses every login."""
    lacking = missing()
    need("hosts made by namespaces", not lacking, f"needs {lacking}")
    folder = tmp_path_factory.mktemp("testbed")
    refusing = {"host-5": {"AllowUsers": "nobody"}}
    with Testbed(hosts=5, folder=folder, sshd_of=refusing) as made:
        yield made


@pytest.fixture(scope="module")
def stand(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and two workers that reach them."""
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        for _ in range(2):
            made.start_worker(NEPIQ_SSH_CONFIG=str(bed.ssh_config))
        yield made


@pytest.fixture
def pools(stand: Stand) -> Iterator[PoolStore]:
    """Who has hosts; at the end nobody."""
    store = stand.backend().pools
    yield store
    until(lambda: not store.allocation().leases, 15.0, "leases were left")
    assert not store.allocation().queue


def test_runs_of_one_and_of_two_hosts(bed: Testbed, stand: Stand, pools: PoolStore) -> None:
    hosts = "host-[1-5]"
    single = campaign(stand, "single", ["one"], 10, hosts)
    double = campaign(stand, "double", ["left", "right"], 5, hosts)
    for each in (single, double):
        each.submit()
    records = [each.wait(120.0) for each in (single, double)]
    assert [record.phase for record in records] == ["finished"] * 2
    assert [record.finished for record in records] == [10, 5]
    # Runs on the host that refuses logins were begun again, on others.
    assert sum(record.again for record in records) > 0
    wanted: Counter[str] = Counter()
    for each, roles in ((single, {"one"}), (double, {"left", "right"})):
        for row in each.rows():
            assert row.hosts.keys() == roles
            assert len(set(row.hosts.values())) == len(roles)
            assert "host-5" not in row.hosts.values()
            wanted[row.run_id] = len(roles)

    begun = noted(bed.hosts[:4])
    assert {run: begun[run] for run in wanted} == wanted
