"""Pictures and pages of real runs, and a notebook that is interrupted."""

from __future__ import annotations

import json
import re
import signal
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand

from nepiq.controller import ExperimentController
from nepiq.controller.reports.page.story import KINDS

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.xdist_group("showing"),
    pytest.mark.timeout(120),
]

#: A notebook: each cell is carried out by itself, and an interrupt ends the cell only.
NOTEBOOK = """
import os, signal, sys, threading, time, traceback
ec = ExperimentController("notebook", quiet=True)
ec.register_resource("linux::Node", label="here")
ec.register_resource("linux::Application", label="app", command="sleep 300", connectedTo="here")
ec.deploy()
ec.wait_started()
def interrupt():
    waits = lambda: traceback.extract_stack(sys._current_frames()[threading.main_thread().ident])
    while not any(frame.filename.endswith("waiting.py") for frame in waits()):
        time.sleep(0.01)
    print("waiting", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    ec.wait_finished("app")
except KeyboardInterrupt:
    print("interrupted", ec.state("app", hr=True), flush=True)
ec.stop("app")
print("then", ec.wait_finished("app"), ec.state("app", hr=True), ec.ecstate.name, flush=True)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        made.start_worker()
        yield made


@pytest.fixture(scope="module")
def shown(place: Stand) -> Iterator[ExperimentController]:
    """A run in which something failed."""
    ec = place.experiment("shown", quiet=True)
    node = ec.register_resource("linux::Node", label="here")
    app = {"connectedTo": node, "critical": False}
    ec.register_resource("linux::Application", label="good", command="true", **app)
    bad = "echo '</script>' >&2; exit 3"
    ec.register_resource("linux::Application", label="bad", command=bad, **app)
    ec.register_condition("bad", "START", "good", "FINISHED", "100ms")
    ec.deploy()
    assert ec.wait_finished(timeout=30)
    yield ec
    ec.shutdown()


@pytest.fixture
def user(place: Stand, tmp_path: Path) -> Iterator[Installation]:
    urls = {name: url for name, url in place.environment.items() if name.endswith("_URL")}
    made = Installation(tmp_path, **urls)
    yield made
    made.close()


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_a_run_is_drawn_with_its_states(shown: ExperimentController, tmp_path: Path) -> None:
    told = list(ET.parse(shown.plot(tmp_path / "a.svg")).getroot().itertext())
    assert "FAILED · Application" in told
    assert "START after FINISHED +100 ms" in told


def test_an_attached_run_is_drawn_alike(
    place: Stand, shown: ExperimentController, tmp_path: Path
) -> None:
    other = place.experiment_of(shown.run_id)
    drawn = [Path(ec.plot(tmp_path / "x.svg")).read_text() for ec in (shown, other)]
    assert drawn[0] == drawn[1]


def test_the_page_of_a_run(shown: ExperimentController, tmp_path: Path) -> None:
    data = data_of(Path(shown.timeline(tmp_path / "run.html")))
    assert [row[1] for row in data["rows"]] == ["here", "good", "bad"]
    kinds = {KINDS[bar[1]] for bar in data["bars"] if data["rows"][bar[0]][1] == "bad"}
    assert {"start", "run"} <= kinds
    assert any("</script>" in text for text in data["texts"])
    assert data["run_id"] == shown.run_id


def test_the_text_of_a_run(shown: ExperimentController) -> None:
    assert re.search(r"^bad .*FAILED$", shown.timeline(), re.MULTILINE)


def test_a_table_of_a_run(shown: ExperimentController) -> None:
    table = shown._repr_html_()
    assert shown.run_id in table
    for text in ("FAILED", "FINISHED", "STARTED", ">good<", ">here<"):
        assert text in table
    bad = shown.get_resource("bad")
    assert bad is not None
    for text in ("FAILED", ">here<", ">exitCode<", "exited with 3"):
        assert text in bad._repr_html_()


def test_what_is_scheduled_is_not_drawn(place: Stand) -> None:
    with place.experiment("calls", quiet=True) as ec:
        ec.register_resource("nepiq::Null", label="drawn")
        ec.deploy()
        ec.schedule("1h", ec.release)
        assert [vertex.label for vertex in ec.graph().vertices.values()] == ["drawn"]
        assert "callback" not in ec._repr_html_()


def test_the_verbs(shown: ExperimentController, user: Installation) -> None:
    page = user.folder / "run.html"
    done = user.nepiq("timeline", shown.run_id, "--html", page)
    assert (done.code, done.out) == (0, "")
    assert data_of(page)["name"] == "shown"
    assert re.search(r"^bad .*FAILED$", user.nepiq("timeline", "shown").out, re.MULTILINE)
    done = user.nepiq("plot", "shown", "-o", user.folder / "shown.dot")
    assert done.code == 0, done.err
    assert "START after FINISHED" in (user.folder / "shown.dot").read_text()


def test_a_script_is_drawn_without_a_run(place: Stand, user: Installation) -> None:
    script = user.script("""
        with ExperimentController("described") as ec:
            ec.register_resource("nepiq::Null", label="lonely")
            print("described")
            ec.deploy()
            raise SystemExit("it was deployed")
    """)
    done = user.nepiq("plot", script, "-o", "-")
    assert done.code == 0, done.err
    assert ET.fromstring(done.out).tag.endswith("svg")
    assert "lonely" in done.out
    runs = ExperimentController.runs(settings=place.settings)
    assert "described" not in [run.exp_id for run in runs]
    done = user.nepiq("plot", user.script("pass", "empty.py"))
    assert (done.code, "without a deploy()" in done.complaint) == (2, True)


def test_an_interrupted_wait_leaves_the_run_alone(place: Stand, user: Installation) -> None:
    done = user.python(user.script(NOTEBOOK)).ended()
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "waiting",
        "interrupted STARTED",
        "then True STOPPED RUNNING",
    ]
    # The end of the process releases it, as ever.
    runs = ExperimentController.runs(settings=place.settings)
    assert [run.phase for run in runs if run.exp_id == "notebook"] == ["RELEASED"]


def test_a_table_does_not_wait_for_a_redis_that_is_away(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        stand.pretend_worker()
        ec = stand.experiment("away", quiet=True)
        ec.register_resource("nepiq::Null", label="lonely")
        ec.deploy()
        assert ">lonely<" in ec._repr_html_()
        stand.stop_redis(signal.SIGKILL)
        table = ec._repr_html_()
        assert "Redis does not answer" in table
        assert ">lonely<" in table
        ec.detach()
        stand.start_redis()  # what was asked beside gets its answer
