"""The studies in examples/campaigns show, in a few short runs, what they are about."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ns3 import required, share_builds
from tests.conftest import Need
from tests.e2e.installation import Installation

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(300)]

STUDIES = Path(__file__).parents[2] / "examples" / "campaigns"


@pytest.fixture
def emulated(shared: Installation, need: Need) -> Installation:
    """An installation whose user may make networks."""
    need("root", os.geteuid() == 0, "networks are made as root")
    return shared


def carry_out(installation: Installation, name: str, repetitions: int, *settings: str) -> Any:
    """The summary of each point of a study with few points."""
    options = [word for setting in settings for word in ("--set", setting)]
    study = (STUDIES / f"{name}.yaml", "--repetitions", str(repetitions))
    done = installation.nepiq("campaign", "run", *study, *options, timeout=250)
    assert done.code == 0, done.err
    return json.loads(installation.nepiq("campaign", "summary", name, "--json").out)


def means(points: Any, metric: str, **parameters: object) -> list[float]:
    """The means of a metric at the points with these values of parameters."""
    return [
        point["metrics"][metric]["mean"]
        for point in points
        if point["parameters"].items() >= parameters.items()
    ]


@pytest.mark.needs("ip", "tc", "nft", "iperf3")
def test_losses_slow_cubic(emulated: Installation, need: Need) -> None:
    need("matplotlib", importlib.util.find_spec("matplotlib"), "the extra examples")
    points = carry_out(emulated, "tcp", 2, "congestion=cubic", "rtt=80", "loss=0,2", "seconds=2")
    ((clean,), (lossy,)) = (means(points, "goodput", loss=loss) for loss in (0, 2))
    assert lossy < clean / 2
    assert clean < 20e6
    assert min(means(points, "delay")) > 80
    ((none,), (some,)) = (means(points, "retransmits", loss=loss) for loss in (0, 2))
    assert none < some

    rows, picture = emulated.folder / "tcp.jsonl", emulated.folder / "tcp.svg"
    rows.write_text(emulated.nepiq("campaign", "results", "tcp").out)
    (emulated.folder / "matplotlibrc").write_text("backend: Agg\nsvg.fonttype: none\n")
    done = emulated.start(sys.executable, STUDIES / "tcp_plot.py", rows, picture).ended()
    assert (done.code, done.out, done.err) == (0, "", "")
    shown = set(re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text()))
    assert {"cubic", "20 Mbit/s, 80 ms", "0", "2", "goodput (Mbit/s)"} <= shown


@pytest.mark.needs("ip", "tc", "nft", "bird", "ping")
def test_distant_nodes_of_the_mesh_lose_more(emulated: Installation) -> None:
    points = carry_out(emulated, "mesh", 1, "power=5", "rate=54", "interference=-70", "pings=50")
    assert [point["parameters"]["protocol"] for point in points] == ["babel", "ospf"]
    neighbours, distant = (means(points, f"loss-{pair}") for pair in ("1-2", "1-5"))
    assert all(near < far for near, far in zip(neighbours, distant, strict=True))
    assert max(distant) < 100


@pytest.mark.xdist_group("ns3")
def test_rates_fall_with_the_distance(shared: Installation, need: Need, ns3_builds: Path) -> None:
    required(need)
    share_builds(shared.folder / "home", ns3_builds)
    few = ("mode=OfdmRate54Mbps", "distance=5,30", "seconds=0.5")
    points = carry_out(shared, "wifi", 2, *few)
    ((near,), (far,)) = (means(points, "goodput", distance=metres) for metres in (5, 30))
    assert far < near / 2
    assert near < 54e6
    bounds = [point["metrics"]["goodput"] for point in points]
    assert all(found["low"] < found["high"] for found in bounds)  # seeds differ
