"""What is found on a host by ``nepiq clean``, where not all is as runs leave it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from nepiq.workers.upkeep import host_cleanup

from .rig import Rig, until

#: A run directory that no run makes, and a node directory in it.
ODD = {
    "no-number": "1x",
    "zero": "0",
    "zeros": "007",
    "tab": "1\t2",
    "line": "1\n2",
    "large": f"{10**30}",
    "a\tb": "1",
    "a\nb": "1",
    "a\ndirectory\tforged/1\t0\tc": "1",
    "a\x85b": "1",
    "a b": "1",
    "é": "1",
    "x" * 64: "1",
    "lost.1": "1",
    "ended": "1",
}
NAMES = {"tab": "a\tb", "vertical": "a\x0bb", "separator": "a\x1cb", "return": "a\rb", "none": ""}
MARKS = [
    "lost.1.1\tx",
    "lost",
    ".1.1",
    "lo st.1.1",
    "-x.1.1",
    "lo/st.1.1",
    "lost.1.1.1",
    "lost.1.1",
]

# Processes are found by their marks, whichever test on this machine they are of.
pytestmark = pytest.mark.xdist_group("hosts-cleaning")


@contextmanager
def bearing(mark: str, *words: str, home: Path) -> Iterator[int]:
    """A process that bears a mark in a home; yields its pid."""
    environment = {**os.environ, "NEPIQ_ID": mark}
    command = ["sh", "-c", "echo; read line", *words]
    pipe = subprocess.PIPE
    folder = home / ".nepiq" / "cwd"
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(command, env=environment, cwd=folder, stdin=pipe, stdout=pipe) as made:
        assert made.stdout is not None
        made.stdout.readline()
        yield made.pid


def look(rig: Rig) -> list[host_cleanup.Remains]:
    """What is found, but for networks: other tests use the kernel of this machine, too."""
    return [item for item in host_cleanup.look(rig.session) if not item.network]


def directory(base: Path, run: str, node: str = "1", experiment: str = "other") -> Path:
    made = base / run / node
    made.mkdir(parents=True)
    (made / "exp").write_text(f"{experiment}\n")
    return made


def test_directories_that_no_run_makes(rig: Rig) -> None:
    for run, node in ODD.items():
        directory(rig.home / ".nepiq", run, node)
    assert [remains.run_id for remains in look(rig)] == [rig.run_id]


def test_experiments_of_any_name(rig: Rig) -> None:
    for run, name in NAMES.items():
        directory(rig.home / ".nepiq", run, experiment=name)
    found = {remains.run_id: remains.experiment for remains in look(rig)}
    assert found == {**NAMES, rig.run_id: "exp"}


def test_marks_that_are_no_files(rig: Rig) -> None:
    base = rig.home / ".nepiq"
    os.mkfifo(directory(base, "pipe") / "2")
    for run, make in (("fifo", os.mkfifo), ("folder", os.mkdir)):
        mark = directory(base, run) / "exp"
        mark.unlink()
        make(mark)
    directory(base, "empty").joinpath("exp").write_text("")
    found = [remains.run_id for remains in look(rig)]
    assert found == sorted(["pipe", rig.run_id])


def test_links_are_not_followed(rig: Rig, tmp_path: Path) -> None:
    base = rig.home / ".nepiq"
    directory(tmp_path / "elsewhere", "kept")
    (base / "link").symlink_to(tmp_path / "elsewhere" / "kept")
    (base / "run").mkdir()
    (base / "run" / "1").symlink_to(tmp_path / "elsewhere" / "kept" / "1")
    assert [remains.run_id for remains in look(rig)] == [rig.run_id]


def test_marks_that_no_run_gives(rig: Rig) -> None:
    with ExitStack() as stack:
        for mark in MARKS:
            stack.enter_context(bearing(mark, home=rig.home))
        found = look(rig)
    marks = {process.mark for remains in found for process in remains.processes}
    assert marks - {mark for mark in marks if mark.startswith(rig.run_id)} == {"lost.1.1"}


def test_command_lines_of_any_form(rig: Rig) -> None:
    with bearing("lost.7.1", "a\rb\x0bc\x1cd\te\nf", "[/red]", home=rig.home) as pid:
        until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes())
        (lost,) = [item for item in look(rig) if item.run_id == "lost"]
        (process,) = [process for process in lost.processes if process.pid == pid]
        assert process.mark == "lost.7.1"
        assert process.command.startswith("sh -c echo; read line")
        assert "[/red]" in process.command


def test_the_end_of_a_command_makes_no_directory_anew(rig: Rig) -> None:
    """Its directory is gone, and the run is over: there is nothing to record its exit for."""
    rig.host(5).supervise("exec sleep 600")
    until((rig.run_dir(5) / ".group").exists)  # until then its supervisor writes files
    shutil.rmtree(rig.home / ".nepiq" / rig.run_id)
    rig.host(1).tidy([f"{rig.run_id}.5.1"])
    until(lambda: not rig.bearers())
    assert not rig.root().exists()
