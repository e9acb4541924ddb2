"""The example of an emulated backbone: OSPF, a cut, a lossy detour."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.conftest import Need
from tests.e2e.installation import Installation

pytestmark = [pytest.mark.needs("redis-server", "ip", "bird", "iperf3"), pytest.mark.timeout(240)]

EXAMPLE = Path(__file__).parents[3] / "examples" / "backbone.py"


def test_the_example(need: Need, shared: Installation) -> None:
    need("root", os.geteuid() == 0, "emulated hosts need root")
    done = shared.python(EXAMPLE).ended(200)
    assert done.code == 0, done.err
    rtt = re.search(r"46\.6 ms configured, ([\d.]+) ms measured", done.out)
    rate = re.search(r"50 Mbit/s configured, ([\d.]+) measured", done.out)
    silent = re.search(r"silent for ([\d.]+) s at the cut; ([\d.]+) % of all pings", done.out)
    assert rtt
    assert rate
    assert silent
    assert 46.5 <= float(rtt[1]) < 60
    assert 1 < float(rate[1]) <= 51
    # Pings go on after the cut, and those on the lossy detour get through for the most part.
    assert 0 < float(silent[1]) < 10
    assert float(silent[2]) < 50
