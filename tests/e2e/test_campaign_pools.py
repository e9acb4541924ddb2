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


def test_runs_of_one_and_of_two_hosts(bed: Testbed, stand: Stand, pools: PoolStore) -> None:
    hosts = "host-[1-4]"
    single = campaign(stand, "single", ["one"], 10, hosts)
    double = campaign(stand, "double", ["left", "right"], 5, hosts)
    for each in (single, double):
        each.submit()
    records = [each.wait(120.0) for each in (single, double)]
    assert [record.phase for record in records] == ["finished"] * 2
    assert [record.finished for record in records] == [10, 5]
    wanted: Counter[str] = Counter()
    for each, roles in ((single, {"one"}), (double, {"left", "right"})):
        for row in each.rows():
            assert row.hosts.keys() == roles
            assert len(set(row.hosts.values())) == len(roles)
            wanted[row.run_id] = len(roles)

    begun = noted(bed.hosts[:4])
    assert {run: begun[run] for run in wanted} == wanted


def test_a_host_that_refuses_logins_is_left_alone(
    bed: Testbed, stand: Stand, pools: PoolStore
) -> None:
    go = [host.root / "lab" / "go" for host in bed.hosts[:2]]
    wait = "until [ -e ~/go ]; do sleep 0.05; done; true"
    wary = campaign(stand, "wary", ["one"], 6, "host-[1-2],host-5", before=wait)
    wary.submit()
    # Two runs keep the sound hosts, so that the others are on the third, one after the other.
    until(lambda: wary.health().quarantined, 90.0, "no host is in quarantine")
    assert {"host-1:22", "host-2:22"} <= set(wary.health().used)
    assert "(campaign wary) waits for 1 host of a pool" in stand.command("pool", "ls")
    for path in go:
        path.touch()
    record = wary.wait(120.0)
    assert (record.phase, record.finished) == ("finished", 6)
    assert record.again >= 3
    assert {row.hosts["one"] for row in wary.rows()} == {"host-1", "host-2"}
    (told,) = wary.health().lines()
    assert "host host-5:22 is in quarantine until" in told
    status = stand.command("campaign", "status", "wary")
    assert told in status
    assert wary.causes() == {}
    repeats = wary.repeats()
    assert sum(item.runs for item in repeats.values()) == record.again
    (cause,) = (cause for cause in repeats if cause.startswith("LoginRefused"))
    count, example, hosts = repeats[cause]
    assert hosts == ["host-5:22"]
    again = f"{count} runs begun again because of host-5:22, such as {example}: {cause}"
    assert again in status
    assert again in stand.command("campaign", "watch", "wary")


def test_a_host_reboots_during_a_run(bed: Testbed, stand: Stand, pools: PoolStore) -> None:
    wait = "until [ -e ~/booted ]; do sleep 0.05; done; true"
    steady = campaign(stand, "steady", ["one"], 4, "host-[1-2]", before=wait)
    steady.submit()
    backend = stand.backend()

    def started() -> bool:
        records = [it for run_id in steady.active() for it in backend.run(run_id).records()]
        states = [record.state for record in records if record.label == "one-app"]
        return states == ["STARTED"] * 2

    until(started, 60.0, "no run is on each of the hosts")
    bed.hosts[0].reboot()
    for host in bed.hosts[:2]:
        (host.root / "lab" / "booted").touch()
    record = steady.wait(120.0)
    assert (record.phase, record.finished) == ("finished", 4)
    assert sorted(row.parameters["n"] for row in steady.rows()) == [0, 1, 2, 3]
    # That run counts for nothing, and its cause is told.
    repeats = steady.repeats()
    assert record.again == sum(item.runs for item in repeats.values()) >= 1
    assert {host for item in repeats.values() for host in item.hosts} == {"host-1:22"}
    assert steady.causes() == {}
    assert {row.hosts["one"] for row in steady.rows() if row.attempts > 1} == {"host-2"}
