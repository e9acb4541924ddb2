"""Scripts E, J and K of NEPI's users on twenty hosts; A to D and G are in test_r2lab."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from tests.conftest import Need
from tests.e2e.installation import Done, Installation
from tests.stand import ROOT, Stand
from tests.testbed import Testbed
from tests.testbed.spaces import missing

from nepiq.controller import ExperimentController, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid", "nc", "ping", "pv", "tcpdump"),
    pytest.mark.timeout(240),
]

EXAMPLES = ROOT / "examples" / "nepi"
HOSTS = 20
APPS = 20

Script = Callable[..., Done]


@pytest.fixture(scope="module")
def bed(need: Need) -> Iterator[Testbed]:
    """As many hosts as the largest of the scripts needs."""
    lacking = missing()
    need("hosts made by namespaces", not lacking, f"needs {lacking}")
    with Testbed(hosts=HOSTS) as made:
        yield made


@pytest.fixture(scope="module")
def stand(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and a worker that find the hosts in an ssh_config."""
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        made.start_worker(NEPIQ_SSH_CONFIG=str(bed.ssh_config))
        yield made


@pytest.fixture
def script(user: Installation) -> Script:
    """Runs a script of examples/nepi as the user ``lab`` of the hosts."""

    def run(name: str, *arguments: str) -> Done:
        command = (sys.executable, "-u", EXAMPLES / name, *arguments, "--user", "lab")
        return user.start(*command).ended(200)

    return run


def assert_nothing_runs(bed: Testbed, ec: ExperimentController) -> None:
    assert {host.name: host.bearers(f"{ec.run_id}.") for host in bed.hosts} == {
        host.name: [] for host in bed.hosts
    }


def test_e_a_monitored_transfer(
    script: Script, stand: Stand, bed: Testbed, user: Installation
) -> None:
    done = script("e_monitored_transfer.py", "host-1", bed.hosts[1].address, "--megabytes", "4")
    assert (done.code, done.err) == (0, ""), done.err
    size = 4 << 20
    assert f" {size} " in done.out  # what ls says of the file that came
    assert re.search(r"^\d+ packets captured$", done.out, re.MULTILINE)
    assert "\n0 packets dropped by kernel" in done.out
    figures = (user.folder / "results" / "bw.txt").read_text().replace("\r", "\n").split("\n")
    assert re.match(r"4\.00MiB 0:00:\d\d", [line for line in figures if line.strip()][-1])
    capture = user.folder / "results" / "file_transfer.pcap"
    read = subprocess.run(
        ["tcpdump", "-nr", str(capture)], capture_output=True, text=True, check=True
    ).stdout
    received = re.findall(r"In .* > \S+\.1234: .* length (\d+)$", read, re.MULTILINE)
    assert sum(map(int, received)) >= size  # all of it; more if TCP has repeated some
    ec = stand.experiment_of("E-file-transfer")
    starts = [stand.milestone(ec, guid, "STARTED") for guid in (4, 5, 6)]
    assert starts == sorted(starts)
    assert_nothing_runs(bed, ec)


def test_j_twenty_hosts_with_twenty_applications(
    script: Script, stand: Stand, bed: Testbed
) -> None:
    names = [host.name for host in bed.hosts]
    done = script("j_scalability.py", *names, "--apps", str(APPS), "--seconds", "2")
    assert (done.code, done.err) == (0, ""), done.err
    assert done.out == (
        f"{HOSTS} hosts, {HOSTS * APPS} applications: {{'FINISHED': {HOSTS * APPS}}}\n"
        f"one of each host: {{'HOLA': {HOSTS}}}\n"
    )
    for host in bed.hosts:  # by the hosts themselves
        told = host.run("cat .nepiq/*/*/*/1/stdout").stdout
        assert told.count("HOLA\n") == APPS
    assert_nothing_runs(bed, stand.experiment_of("J-scalability"))


def test_k_programs_that_start_after_each_other(script: Script, stand: Stand, bed: Testbed) -> None:
    endless = "echo up; trap 'exit 0' TERM; while :; do sleep 0.1; done"
    done = script(
        "k_mobile_network.py",
        *("host-1", "host-2", "--settle", "1.5s", "--target", bed.hosts[0].address),
        *("--enb", endless, "--ue", endless),
    )
    assert (done.code, done.err) == (0, ""), done.err
    assert "3 packets transmitted, 3 received, 0% packet loss" in done.out
    assert done.out.endswith("eNB: up\nUE: up\n")
    ec = stand.experiment_of("K-mobile-network")
    enb, ue, ping = (stand.milestone(ec, guid, "STARTED") for guid in (3, 4, 5))
    assert ue - enb >= 1.5
    assert ping - ue >= 1.5
    assert {ec.state(guid) for guid in (3, 4, 5)} == {ResourceState.RELEASED}
    assert_nothing_runs(bed, ec)
