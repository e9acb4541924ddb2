"""A host whose file system is full: ends are told all the same, and a release needs no room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Need

from nepiq.controller.errors import HostError

from .rig import Rig, until
from .tended import Tended

pytestmark = pytest.mark.xdist_group("hosts-full-disk")

FILL = "cat /dev/zero >fill 2>/dev/null"


@pytest.fixture
def rig(tmp_path: Path, need: Need) -> Iterator[Rig]:
    """A run whose home has 400 kB of its own."""
    need("root, who may mount", os.geteuid() == 0)
    home = tmp_path / "a home"
    made = Rig(tmp_path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(home)], check=True)
    try:
        made.prepare()
        yield made
        made.close()
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


@pytest.fixture
def tended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tended]:
    monkeypatch.setattr("nepiq.workers.hosts.exit_journal.PERIOD", 0.3)
    made = Tended(rig)
    yield made
    made.close()


def full(rig: Rig) -> None:
    """Take what little is left, as of the last page of the journal."""
    filler = rig.home / "filler"
    dd = ["dd", "if=/dev/zero", f"of={filler}", "bs=4096", "oflag=append", "conv=notrunc"]
    assert b"No space left" in subprocess.run(dd, capture_output=True, check=False).stderr


@pytest.mark.parametrize(("code", "outcome"), [(0, "FINISHED"), (3, "FAILED")])
def test_an_end_is_told_and_recorded_later(
    rig: Rig, tended: Tended, code: int, outcome: str
) -> None:
    rig.host(5).supervise(f"{FILL}; exit {code}")
    until(lambda: tended.ends(5))
    assert {(end.outcome, end.code) for end in tended.ends(5)} == {(outcome, code)}
    (rig.run_dir(5) / "fill").unlink()
    until(lambda: (rig.run_dir(5) / ".exit").read_text().startswith(f"{code} {outcome} "))
    until(lambda: not rig.bearers())
    adopted = rig.host(5).supervise("touch again").exit
    assert adopted is not None
    assert (adopted.outcome, adopted.code) == (outcome, code)


def test_neither_exit_nor_journal_takes_it(rig: Rig, tended: Tended) -> None:
    """By the pipe to the watch; and to a watch that comes later."""
    journal = rig.root() / "journal"
    text = journal.read_text()
    # A page that is full already.
    journal.write_text(text + "-" * (4095 - len(text)) + "\n")
    go = rig.home / "go"
    rig.host(5).supervise(f"{FILL}; until [ -e '{go}' ]; do sleep 0.02; done; exit 3")
    until((rig.run_dir(5) / "fill").exists)
    full(rig)
    go.touch()
    until(lambda: tended.ends(5))
    assert (tended.ends(5)[0].outcome, tended.ends(5)[0].code) == ("FAILED", 3)
    assert journal.stat().st_size == 4096
    assert rig.supervisors(), "it keeps what cannot be recorded"
    tended.begin_anew()
    until(lambda: len(tended.ends(5)) > 1)
    (rig.home / "filler").unlink()
    (rig.run_dir(5) / "fill").unlink()
    until(lambda: (rig.run_dir(5) / ".told").exists() and not rig.bearers())


def test_stop_and_release_need_no_room(rig: Rig, tended: Tended) -> None:
    rig.host(5).supervise("setsid sleep 60 & exec sleep 60")
    rig.host(6).supervise(f"{FILL}; exec sleep 60")
    until((rig.run_dir(6) / "fill").exists)
    full(rig)
    rig.host(5).end()
    names = rig.bearers().values()
    assert {name for name in names if "supervisor" not in name} == {f"{rig.run_id}.6.1"}
    until(lambda: tended.ends(5))
    assert tended.ends(5)[0].outcome == "STOPPED"
    with pytest.raises(HostError, match="No space left on device"):
        rig.host(7).supervise("true")
    rig.host(6).clear()
    rig.host(1).dismantle()
    assert rig.bearers() == {}
    run = f"later-{rig.run_id}"
    with pytest.raises(HostError, match="No space left on device") as refused:
        rig.host(1, run_id=run).prepare()
    assert "make room on that host" in refused.value.hint
    (rig.home / "filler").unlink()
    (rig.run_dir(6) / "fill").unlink()
    rig.host(1, run_id=run).prepare()
    rig.host(5, run_id=run).supervise("exit 4")
    until((rig.home / ".nepiq" / run / "1/5/1/.told").exists)
