"""The example of an emulated backbone: OSPF, a cut, a lossy detour; as a script and as a file."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Need
from tests.e2e.installation import Installation
from tests.faults.lab import Lab
from tests.integration.web.browser import Browser
from tests.testbed import Testbed

from nepiq.controller import ExperimentController
from nepiq.controller.cli.dry_run import StopScript, dry_run
from nepiq.controller.web.server import WebServer

pytestmark = [
    pytest.mark.needs("redis-server", "ip", "bird", "iperf3", "curl"),
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("backbone"),
]

EXAMPLES = Path(__file__).parents[3] / "examples"
ROW = re.compile(r"(\w+) +([\d.]+) ms +([\d.]+) ms +([\d.]+) +([\d.]+) s +([\d.]+) s")


def described(ec: ExperimentController) -> dict[str, Any]:
    """What an experiment is, without the numbers of its resources."""
    text = json.loads(ec.serialize("json"))
    for resource in text["resources"].values():
        resource.pop("guid", None)
    return text  # type: ignore[no-any-return]


def test_script_and_file_are_the_same_experiment() -> None:
    found = []

    def keep(ec: ExperimentController, *_: object) -> None:
        found.append(described(ec))
        raise StopScript

    dry_run(EXAMPLES / "backbone.py", [], keep, output=True)
    (script,) = found
    file = described(ExperimentController.load(EXAMPLES / "backbone.yaml"))
    assert script["resources"].keys() == file["resources"].keys()
    assert script == file


@pytest.fixture(scope="module")
def bed(shared_testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two machines, and a worker that reaches them."""
    with Lab(tmp_path_factory.mktemp("backbone"), shared_testbed) as made:
        made.start_workers(1)
        yield made
    shared_testbed.reset()


@pytest.fixture
def user(bed: Lab, tmp_path: Path) -> Iterator[Installation]:
    urls = {name: url for name, url in bed.stand.environment.items() if name.endswith("_URL")}
    made = Installation(tmp_path, **urls)
    yield made
    made.close()


class Watched:
    """What the live page has shown of a run: rows, and values that were reported."""

    def __init__(self, browser: Browser, run_id: str) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.head: dict[str, Any] = {}
        self.values: dict[str, dict[str, Any]] = {}
        self.routes: set[tuple[str, ...]] = set()
        self.loads: dict[frozenset[str], float] = {}
        self.shown: dict[str, list[Any]] = {"up": [], "loss": []}
        with browser.stream(f"/runs/{run_id}/events") as stream:
            for kind, data in stream.events():
                if kind == "rows":
                    self._add_rows(data)
                elif kind == "readings":
                    self._add_values(data)
                if self.head["phase"] == "RELEASING":
                    return

    def _add_rows(self, data: dict[str, Any]) -> None:
        self.head = data
        self.rows |= data["rows"]
        for row in data["rows"].values():
            for name, values in self.shown.items():
                if name in row["shown"] and row["shown"][name] not in values[-1:]:
                    values.append(row["shown"][name])

    def _add_values(self, data: dict[str, dict[str, Any]]) -> None:
        label = {guid: row["label"] for guid, row in self.rows.items()}
        ends = {str(line["guid"]): line["ends"] for line in self.head["lines"]}
        for guid, values in data.items():
            self.values.setdefault(label[guid], {}).update(values)
            if "route" in values:
                hosts = (self.head["addresses"].get(one) for one in values["route"].split())
                self.routes.add(tuple(label[str(host)] for host in hosts if host))
            if "out" in values:
                pair = frozenset(label[str(end)] for end in ends[guid])
                self.loads[pair] = max(self.loads.get(pair, 0.0), values["out"], values["in"])


def test_the_example_on_two_machines(need: Need, bed: Lab, user: Installation) -> None:
    need("root", os.geteuid() == 0, "emulated hosts need root")
    names = [host.name for host in bed.bed.hosts[:2]]
    with WebServer(bed.stand.settings, port=0).beside() as server:
        browser = Browser(server.port, server.token)
        with browser.stream("/events") as runs:
            process = user.start(sys.executable, "-u", EXAMPLES / "backbone.py", *names)
            run_id = runs.until("runs", lambda data: data["active"])["active"][0]["id"]
        watched = Watched(browser, run_id)
    done = process.ended(200)
    assert done.code == 0, done.err
    # The page has shown the links with their loads, the cut, the loss, and the ways of a flow.
    assert {watched.rows[str(guid)]["label"] for guid in watched.head["order"]} >= {
        "seattle",
        "way",
    }
    assert len(watched.loads) == 14
    assert watched.loads[frozenset({"chicago", "newyork"})] > 9e6
    assert watched.loads[frozenset({"houston", "losangeles"})] > 9e6
    assert "ms" in watched.values["seattle-ping"]["rtt"]
    assert watched.shown == {"up": [False, True], "loss": [5.0, 0.0]}
    short = ("denver", "kansascity", "indianapolis", "chicago", "newyork")
    assert short in watched.routes
    assert any("houston" in route for route in watched.routes)
    # The table: round-trip times are those of the graph; pings go on after the cut.
    rows = {row[0]: [float(value) for value in row[1:]] for row in ROW.findall(done.out)}
    assert rows.keys() == {"seattle", "losangeles", "chicago"}, done.out
    for configured, measured, rate, gap, converged in rows.values():
        assert configured - 0.1 <= measured < configured + 15
        assert 0 < rate < 10
        assert 0 < gap < 10
        assert 0 < converged < 40
    assert rows["seattle"][0] == 46.6
    assert rows["seattle"][3] > rows["chicago"][3]  # its way is the one that is cut
    bed.expect_nothing(run_id, *bed.bed.hosts[:2])


#: The file in a quarter of its time.
SHORT = {
    "hostname: localhost": "hostname: {host}",
    "time: 34": "time: 4",
    "count: 340": "count: 100",
    "delay: 10s": "delay: 1s",
    "delay: 20s": "delay: 3s",
    "delay: 30s": "delay: 6.5s",
}


def test_the_file_has_static_routes_where_bird_is_absent(bed: Lab, user: Installation) -> None:
    """Pings whose link is cut are lost until it heals; others go on."""
    host = bed.bed.hosts[2]
    host.run("mount --bind /dev/null $(command -v bird)", user="root")
    text = (EXAMPLES / "backbone.yaml").read_text()
    for old, new in SHORT.items():
        assert old in text
        text = text.replace(old, new.format(host=host.name))
    file = user.folder / "short.yaml"
    file.write_text(text)
    (user.folder / "backbone.graphml").write_bytes((EXAMPLES / "backbone.graphml").read_bytes())
    results = user.folder / "results"
    done = user.nepiq("run", "-q", "--results", results, file, timeout=180)
    assert done.code == 0, done.err
    pings = {
        city: (results / f"{city}-ping" / "stdout").read_text()
        for city in ("seattle", "losangeles", "chicago")
    }
    lost = {city: 100 - text.count("icmp_seq=") for city, text in pings.items()}
    # 5.5 s are 55 packets. OSPF takes less than one second to find the detour.
    assert 20 <= lost["seattle"] < 95, pings["seattle"]
    assert lost["chicago"] < 10, pings["chicago"]
