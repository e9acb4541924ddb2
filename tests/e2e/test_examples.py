"""The examples work as they are."""

from __future__ import annotations

import importlib.util
import json
import re
import statistics
import sys
import textwrap
from pathlib import Path

import pytest
from tests.conformance.ns3 import required, share_builds
from tests.conftest import Need
from tests.e2e.campaigns import carry_out, means
from tests.e2e.installation import Installation
from tests.net import free_port

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def test_the_demo(shared: Installation) -> None:
    done = shared.nepiq("run", EXAMPLES / "demo.py")
    assert done.code == 0, done.err
    assert done.out.count("Hello from the server") == 3
    assert "the server saw 3 requests" in done.out
    assert "served 3 clients" in done.out


def first_block(page: str, containing: str) -> str:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    return str(next(block for block in blocks if containing in block))


def test_the_first_experiment_of_the_readme(shared: Installation) -> None:
    text = first_block("README.md", "ec.deploy()").replace("8800", str(free_port()))
    done = shared.run(text)
    assert (done.code, done.out.strip()) == (0, "200"), done.err


@pytest.mark.needs("curl")
def test_the_first_experiments_of_the_quickstart(shared: Installation) -> None:
    """The conditions of the page go where it tells to put them: before the deployment."""
    first = first_block("docs/quickstart.md", "ec.deploy()")
    more = first_block("docs/quickstart.md", "register_condition")
    more = more.replace("8000", str(free_port()))
    both = first.replace("    ec.deploy()", textwrap.indent(more, "    ") + "    ec.deploy()")
    both += '    ec.wait_finished(client)\n    print(ec.trace(client, "stdout"))\n'
    done = shared.run(both)
    assert done.code == 0, done.err
    assert done.out.startswith("hello\n")
    assert "Directory listing" in done.out


def test_a_script_of_nepi_with_another_import(shared: Installation) -> None:
    done = shared.python(EXAMPLES / "nepi_port.py").ended()
    assert (done.code, done.out, done.err) == (0, "server: HOLA\nclient: CLIENT STARTED\n", "")


def test_the_offset_of_the_script_of_nepi_is_kept(shared: Installation) -> None:
    text = (EXAMPLES / "nepi_port.py").read_text()
    head, _, tail = text.partition("ec.shutdown()")
    path = shared.folder / "timed.py"
    path.write_text(
        head
        + "record = {r.guid: r for r in ec._replica.current.records()}\n"
        + "print(record[client].milestones['STARTED'] - record[server].milestones['STARTED'])\n"
        + "ec.shutdown()"
        + tail
    )
    done = shared.python(path).ended()
    assert done.code == 0, done.err
    assert float(done.out.splitlines()[-1]) >= 2.0


def test_a_campaign(shared: Installation) -> None:
    script = EXAMPLES / "campaign.py"
    python = (sys.executable, "-u", script, shared.folder / "kept")
    done = shared.start(*python).ended()
    assert (done.code, done.err) == (0, "")
    *runs, told = done.out.splitlines()
    assert [line.split(":")[0] for line in runs] == [f"run {n + 1}" for n in range(len(runs))]
    assert told.startswith(f"{len(runs)} runs: ")
    assert 3 <= len(runs) <= 12
    # What is kept in the folder needs no further run.
    again = shared.start(*python).ended()
    assert (again.code, again.out, again.err) == (0, told + "\n", "")


@pytest.mark.needs("iperf3")
def test_an_iperf_sweep(shared: Installation) -> None:
    results = shared.folder / "sweep"
    script = (EXAMPLES / "iperf_sweep.py", "--results", results, "--bitrate", "10M")
    done = shared.start(sys.executable, "-u", *script).ended()
    assert (done.code, done.err) == (0, "")
    *runs, told = done.out.splitlines()
    assert 3 <= len(runs) <= 20
    assert re.fullmatch(
        rf"{len(runs)} runs: ([\d.]+) Mbit/s, with 95 % certainty [\d.]+ to [\d.]+", told
    )
    rates = [float(rate) for run in runs for rate in re.findall(r"(\d+\.\d)[, ]", run)]
    # A busy machine carries less at times, and the rest later.
    assert statistics.median(rates) == pytest.approx(10.0, rel=0.2), rates
    assert len(rates) == 2 * len(runs)
    reports = [json.loads(path.read_text()) for path in results.glob("*/*/reports/*.stdout")]
    assert len(reports) == 2 * len(runs)
    assert all(report["end"]["sum_received"]["bytes"] for report in reports)


def test_the_first_example_of_the_quickstart(shared: Installation) -> None:
    path = shared.folder / "hello.py"
    path.write_text(first_block("docs/quickstart.md", "ec.deploy()"))
    done = shared.python(path).ended()
    assert (done.code, done.out, done.err) == (0, "hello\n\n", "")


@pytest.fixture
def simulated(shared: Installation, need: Need, ns3_builds: Path) -> Installation:
    """An installation whose machine has ns-3."""
    required(need)
    share_builds(shared.folder / "home", ns3_builds)
    return shared


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("ns3")
def test_the_distance_of_wifi(simulated: Installation, need: Need) -> None:
    need("matplotlib", importlib.util.find_spec("matplotlib"), "the extra examples")
    command = (sys.executable, EXAMPLES / "ns3_wifi_distance.py", simulated.folder, "10", "40")
    done = simulated.start(*command).ended(200)
    # Matplotlib writes to stderr if its first cache of fonts takes more than five seconds.
    assert (done.code, done.out) == (0, ""), done.err
    head, *rows = (simulated.folder / "distance.csv").read_text().splitlines()
    assert head == "metres,run,mbit_per_s"
    near, far = (
        [float(row.split(",")[2]) for row in rows if row.startswith(f"{metres},")]
        for metres in (10, 40)
    )
    assert (len(near), len(far)) == (5, 5)
    assert max(far) < 5
    assert min(near) > 25
    assert len(set(near)) > 1  # seeds differ
    assert "<svg" in (simulated.folder / "distance.svg").read_text()


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("ns3")
def test_rates_of_wifi_fall_with_the_distance(simulated: Installation) -> None:
    few = ("mode=OfdmRate54Mbps", "distance=5,30", "seconds=0.5")
    points = carry_out(simulated, "wifi", 2, *few)
    ((near,), (far,)) = (means(points, "goodput", distance=metres) for metres in (5, 30))
    assert far < near / 2
    assert near < 54e6
    assert all(point.margin("goodput") for point in points)  # seeds differ


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("ns3")
def test_the_first_simulation_of_the_page_of_ns3(simulated: Installation) -> None:
    page = (EXAMPLES.parent / "docs" / "ns3.md").read_text()
    block = next(part for part in page.split("```python\n") if part.startswith("from nepiq"))
    path = simulated.folder / "two_nodes.py"
    path.write_text(block.split("```")[0])
    done = simulated.python(path).ended(200)
    assert (done.code, done.err) == (0, "")
    assert "3 packets transmitted, 3 received, 0% packet loss" in done.out
    assert done.out.count(",0.0402752\n") == 3
