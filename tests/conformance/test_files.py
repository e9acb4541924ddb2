"""Cases 36, 37 and 38: descriptions, runs of a campaign and pictures as files."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest
from tests.conformance.conftest import Make
from tests.stand import Stand

from nepiq.controller import (
    ExperimentController,
    ExperimentRunner,
    InvalidValue,
    NotAllowed,
    PFormats,
    ResourceAction,
    ResourceState,
)

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

START, STARTED = ResourceAction.START, ResourceState.STARTED
SAMPLES = [10, 10, 10, 10, 12, 10, 12, 10, 10, 11]


def described(ec: ExperimentController) -> ExperimentController:
    node = ec.register_resource("LinuxNode", label="here")
    for label in ("first", "second"):
        ec.register_resource(
            "LinuxApplication", label=label, command=f"echo {label}", connectedTo=node
        )
    ec.register_condition("second", START, "first", STARTED, "300ms")
    return ec


def ending(ec: ExperimentController) -> ExperimentController:
    """With something that ends at once."""
    ec.register_resource("nepiq::Null", label="nothing")
    ec.register_condition("nothing", ResourceAction.STOP, "nothing", STARTED)
    return ec


def outputs(ec: ExperimentController) -> list[str]:
    ec.deploy()
    assert ec.wait_finished(timeout=30)
    assert ec.get_start_time("second") - ec.get_start_time("first") >= timedelta(milliseconds=300)
    return [ec.trace(label, "stdout") for label in ("first", "second")]


def test_case_36_saved_and_loaded(make: Make, stand: Stand, tmp_path: Path) -> None:
    ec = described(make("kept"))
    path = ec.save(tmp_path)
    assert outputs(ec) == ["first\n", "second\n"]
    other = ExperimentController.load(path, settings=stand.settings, quiet=True)
    with other:
        assert other.resources == ec.resources
        assert other.exp_id == ec.exp_id
        assert outputs(other) == ["first\n", "second\n"]
        assert other.run_id != ec.run_id


def test_d4_what_is_saved_reads_back_and_shares_nothing(make: Make, tmp_path: Path) -> None:
    ec = described(make())
    text = ec.serialize()
    assert "__" not in text
    path = ec.save(tmp_path / "one.yaml")
    one, two = (ExperimentController.load(path) for _ in range(2))
    one.register_condition("first", START, "here", STARTED)
    one.set("second", "env", "A=1")
    assert two.serialize() == text == Path(path).read_text()
    assert one.serialize() != text


def test_case_37_runs_until_they_converge(make: Make) -> None:
    def sample(ec: ExperimentController, run: int) -> float:
        return SAMPLES[run - 1]

    for max_runs in (10, -1):
        ec = ending(make("campaign"))
        runner = ExperimentRunner()
        count = runner.run(ec, min_runs=5, max_runs=max_runs, compute_metric_callback=sample)
        assert (count, runner.samples) == (10, SAMPLES)


def test_case_37_min_and_max_runs(make: Make) -> None:
    ec = ending(make("runs"))
    assert ExperimentRunner().run(ec, min_runs=5, max_runs=10) == 10


def test_case_37_each_run_collects(make: Make, tmp_path: Path) -> None:
    ec = described(make("collected", local_dir=tmp_path, persist=True))
    ec.register_resource("Collector", traceName="stdout", connectedTo=["first", "second"])
    ec.register_resource(
        "Collector", traceName="exitcode", subDir="codes", rename="code", connectedTo="first"
    )
    assert ExperimentRunner().run(ec, max_runs=2) == 2
    assert ec.exp_dir == str(tmp_path / "collected")
    folders = sorted((tmp_path / "collected").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert re.fullmatch(r"\d{20}", folder.name)
        found = {str(path.relative_to(folder)) for path in folder.rglob("*.*")}
        assert found == {"2.stdout", "3.stdout", "codes/2.code", "collected.yaml"}
        assert (folder / "2.stdout").read_text() == "first\n"
        assert (folder / "codes" / "2.code").read_text() == "0\n"


@pytest.mark.parametrize("removed", [False, True])
def test_a_collector_has_what_ran_until_the_release(
    make: Make, tmp_path: Path, removed: bool
) -> None:
    ec = make("until", local_dir=tmp_path)
    node = ec.register_resource("LinuxNode")
    command = "trap 'echo last; exit' TERM; echo first; sleep 100 & wait"
    app = ec.register_resource("LinuxApplication", command=command, connectedTo=node)
    ec.set(app, "startedWhen", "output:first")
    ec.set(app, "hardRelease", removed)
    ec.register_resource("Collector", traceName="stdout", connectedTo=app)
    ec.deploy()
    assert ec.wait_started(app, timeout=30)
    ec.shutdown()
    text = (Path(ec.run_dir) / f"{app}.stdout").read_text()
    # What the release removes can only be had before it.
    assert text == ("first\n" if removed else "first\nlast\n")


def test_d5_a_collector_that_names_nothing(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ec = described(make(local_dir=tmp_path))
    collector = ec.register_resource("Collector", connectedTo="first")
    with pytest.raises(InvalidValue, match="missing: attribute 'traceName' of collector-4"):
        ec.deploy()
    for name in ("/etc/passwd", "../other", "a/../../b"):
        with pytest.raises(InvalidValue, match="must be a relative path"):
            ec.set(collector, "traceName", name)
    ec.set(collector, "traceName", "nothing")
    ec.deploy()
    assert ec.wait_finished(timeout=30)
    with caplog.at_level(logging.ERROR, "nepiq"):
        ec.shutdown()
    assert "nothing of first was not collected: first: unknown trace 'nothing'" in caplog.text


def test_case_38_pictures(make: Make, tmp_path: Path) -> None:
    ec = described(make("drawn"))
    picture = Path(ec.plot(tmp_path, format=PFormats.FIGURE))
    assert picture.suffix == ".png"
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    text = Path(ec.plot(tmp_path, format=PFormats.DOT))
    assert text.suffix == ".dot"
    assert text.read_text().startswith("digraph")


def test_d10_a_home_that_is_absolute(make: Make, tmp_path: Path) -> None:
    ec = make()
    node = ec.register_resource("LinuxNode", home=str(tmp_path / "elsewhere"))
    app = ec.register_resource("LinuxApplication", command="pwd", connectedTo=node)
    ec.deploy()
    assert ec.wait_finished(app, timeout=30)
    assert ec.trace(app, "stdout").startswith(str(tmp_path / "elsewhere" / ".nepiq"))


def test_the_directories_of_runs(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ec = make("places")
    own = Path(ec.local_dir)
    assert own.parent == tmp_path
    assert own.stat().st_mode & 0o777 == 0o700
    assert make("places").local_dir == str(own)
    own.rmdir()
    own.symlink_to("/etc")
    assert make("places").local_dir != str(own)
    assert Path(make("places").local_dir).parent == tmp_path
    with pytest.raises(NotAllowed, match="there is no run yet"):
        _ = ec.run_dir
    ec.register_resource("nepiq::Null")
    ec.deploy()
    assert ec.run_dir == str(own / "places" / ec.run_id)
