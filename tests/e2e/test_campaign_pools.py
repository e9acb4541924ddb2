"""Campaigns whose runs lease hosts of a pool, on real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from tests.conftest import Need
from tests.stand import Stand, until
from tests.testbed.bed import Testbed
from tests.testbed.spaces import missing

from nepiq.controller import Campaign, Parameter, Space
from nepiq.controller.engine.pools import PoolStore

pytestmark = [
    pytest.mark.needs("redis-server", "sshd", "flock", "setsid"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("campaign-pools"),
]

#: The application of each run notes it in a log of its host, which outlives the run.
COMMAND = """
echo "begin ${NEPIQ_ID%%.*}" >>~/pool.log
sleep $pause
echo "end ${NEPIQ_ID%%.*}" >>~/pool.log
"""


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


def campaign(
    stand: Stand, name: str, roles: list[str], points: int, hosts: str, **plan: object
) -> Campaign:
    """A campaign whose runs have an application on each of their hosts."""
    ec = stand.experiment(name, quiet=True)
    ec.register_resource("linux::Pool", label="lab", hosts=hosts)
    for role in roles:
        ec.register_resource("linux::Node", label=role, pool="lab")
        ec.register_resource(
            "linux::Application", label=f"{role}-app", node=role, command=Parameter("command")
        )
    command = COMMAND.replace("$pause", "0.1")
    space = Space.grid(n=range(points)) * Space.points([{"command": command}])
    return stand.owned(Campaign(ec, space, settings=stand.settings, **plan))  # type: ignore[arg-type]


def test_runs_of_one_and_of_two_hosts(bed: Testbed, stand: Stand, pools: PoolStore) -> None:
    hosts = "host-[1-5]"
    single = campaign(stand, "single", ["one"], 16, hosts)
    double = campaign(stand, "double", ["left", "right"], 8, hosts)
    for each in (single, double):
        each.submit()
    records = [each.wait(120.0) for each in (single, double)]
    assert [record.phase for record in records] == ["finished"] * 2
    assert [record.finished for record in records] == [16, 8]
    # Runs on the host that refuses logins were begun again, on others.
    assert sum(record.again for record in records) > 0
    wanted: Counter[str] = Counter()
    for each, roles in ((single, {"one"}), (double, {"left", "right"})):
        for row in each.rows():
            assert row.hosts.keys() == roles
            assert len(set(row.hosts.values())) == len(roles)
            assert "host-5" not in row.hosts.values()
            wanted[row.run_id] = len(roles)

    # No host was in two runs: by its own log each run ended there before another began.
    begun: Counter[str] = Counter()
    for host in bed.hosts[:4]:
        log = (host.root / "lab" / "pool.log").read_text().split()
        steps, runs = log[::2], log[1::2]
        assert steps == ["begin", "end"] * (len(steps) // 2)
        assert runs[::2] == runs[1::2]
        begun.update(run for run in runs[::2] if run in wanted)
    assert begun == wanted
