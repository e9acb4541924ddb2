"""The studies in examples/campaigns show, in a few short runs, what they are about."""

from __future__ import annotations

import importlib.util
import os
import re
import sys

import pytest
from tests.conftest import Need
from tests.e2e.campaigns import STUDIES, carry_out, means
from tests.e2e.installation import Installation

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(300)]


@pytest.fixture
def emulated(shared: Installation, need: Need) -> Installation:
    """An installation whose user may make networks."""
    need("root", os.geteuid() == 0, "networks are made as root")
    return shared


@pytest.mark.needs("ip", "tc", "nft", "iperf3")
def test_losses_slow_cubic(emulated: Installation, need: Need) -> None:
    need("matplotlib", importlib.util.find_spec("matplotlib"), "the extra examples")
    points = carry_out(emulated, "tcp", 2, "congestion=cubic", "rtt=80", "loss=0,2", "seconds=2")
    ((clean,), (lossy,)) = (means(points, "goodput", loss=loss) for loss in (0, 2))
    assert lossy < clean / 2
    assert clean < 25e6  # the rate of the path is 20; a stall moves bytes from second to second
    assert min(means(points, "delay")) > 79

    rows, picture = emulated.folder / "tcp.jsonl", emulated.folder / "tcp.svg"
    (emulated.folder / "matplotlibrc").write_text("backend: Agg\nsvg.fonttype: none\n")
    done = emulated.start(sys.executable, STUDIES / "tcp_plot.py", rows, picture).ended()
    assert done.code == 0, done.err
    shown = set(re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text()))
    assert {"cubic", "round trip of 80 ms", "0", "2", "goodput (Mbit/s)"} <= shown


@pytest.mark.needs("ip", "tc", "nft", "iperf3")
def test_the_first_run_of_the_tutorial(emulated: Installation) -> None:
    page = (STUDIES.parents[1] / "docs" / "tutorial-campaign.md").read_text()
    path = emulated.folder / "path.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    done = emulated.nepiq("run", path)
    assert done.code == 0, done.err
    assert re.search(r"^figures of\b.*\nclient +bitsPerSecond [\d.]+ Mbit/s, ", done.err, re.M)


@pytest.mark.needs("ip", "tc", "nft", "bird", "ping")
def test_distant_nodes_of_the_mesh_lose_more(emulated: Installation) -> None:
    points = carry_out(emulated, "mesh", 1, "power=5", "rate=54", "interference=-70", "pings=50")
    assert [point.parameters["protocol"] for point in points] == ["babel", "ospf"]
    neighbours, distant = (means(points, f"loss-{pair}") for pair in ("1-2", "1-5"))
    assert all(near < far for near, far in zip(neighbours, distant, strict=True))
    assert max(distant) < 100
