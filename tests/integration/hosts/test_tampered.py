"""Applications that remove, move, replace or close to themselves what nepiq keeps on their host.

Nothing of the run may be left running after its release, each end is told, and later runs work.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

import pytest

from nepiq.controller.errors import HostError
from nepiq.controller.model.host import Exit

from .rig import Rig, until
from .sudoers import USERS, RigOf
from .tended import Tended

USER = "nepiq-free"

#: Each kind of file that nepiq keeps, below ``.nepiq``; the application is start 1 of guid 5.
FILES = {
    "base": "",
    "lock": "lock",
    "able": "able",
    "swept": "swept",
    "ended": "ended",
    "run": "RUN",
    "node": "RUN/1",
    "supervisor": "RUN/1/supervisor.sh",
    "boot": "RUN/1/boot",
    "exp": "RUN/1/exp",
    "journal": "RUN/1/journal",
    "fences": "RUN/1/fence",
    "fence": "RUN/1/fence/5",
    "node-fence": "RUN/1/fence/1",
    "resource": "RUN/1/5",
    "directory": "RUN/1/5/1",
    "dot-lock": "RUN/1/5/1/.lock",
    "dot-started": "RUN/1/5/1/.started",
    "dot-group": "RUN/1/5/1/.group",
    "dot-exit": "RUN/1/5/1/.exit",
    "dot-told": "RUN/1/5/1/.told",
    "dot-stop": "RUN/1/5/1/.stop",
    "stdout": "RUN/1/5/1/stdout",
}

#: Waits for the test in a place that is not nepiq's, and leaves its group in part.
APPLICATION = "sleep 600 & echo up; read -r go <'{go}'; kill $!; wait; exit 3"


def removed(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def moved(path: Path) -> None:
    if path.exists():
        path.rename(_home(path) / f"moved-{path.name}")


def replaced(path: Path) -> None:
    """By a file where it was a directory, and the other way round."""
    was_directory = path.is_dir()
    removed(path)
    if was_directory:
        path.touch()
        os.chown(path, USERS[USER], USERS[USER])
    else:
        (path / "in it").mkdir(parents=True)
        for made in (path, path / "in it"):
            os.chown(made, USERS[USER], USERS[USER])


def read_only(path: Path) -> None:
    if path.exists():
        path.chmod(0o555 if path.is_dir() else 0o444)


def _home(path: Path) -> Path:
    return path.parents[len(path.parts) - path.parts.index(".nepiq") - 1]


@pytest.fixture
def rig(rig_of: RigOf) -> Rig:
    return rig_of(USER)


@pytest.fixture
def tended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tended]:
    """What the worker's watch of the node hears."""
    monkeypatch.setattr("nepiq.workers.hosts.exit_journal.PERIOD", 0.3)
    made = Tended(rig)
    yield made
    made.close()


def started(rig: Rig, guid: int = 5) -> Path:
    """An application that runs; the pipe at a line from which it ends by itself with code 3."""
    go = rig.home / f"go-{guid}"
    os.mkfifo(go)
    os.chown(go, USERS[USER], USERS[USER])
    rig.host(guid).supervise(APPLICATION.format(go=go))
    until(lambda: (rig.run_dir(guid) / "stdout").read_text() == "up\n")
    until((rig.run_dir(guid) / ".group").read_text)
    return go


def tamper(rig: Rig, way: Callable[[Path], None], name: str) -> None:
    way(rig.home / ".nepiq" / FILES[name].replace("RUN", rig.run_id))


def expect_end(tended: Tended, outcome: str, code: int | None) -> None:
    """The end of guid 5 is told, once or more often, and never another."""
    try:
        until(lambda: tended.ends(5))
    except AssertionError as error:
        raise AssertionError(f"no end of 5 was told: {tended.seen()}") from error
    ended = tended.ends(5)[0]
    assert (ended.outcome, ended.code) == (outcome, code)


def release(rig: Rig) -> None:
    """As a release goes."""
    rig.host(5).clear()
    assert not [name for name in rig.bearers().values() if name.split(".")[1] == "5"]
    rig.host(1).dismantle()
    # Who was about to make files anew is refused, and ends.
    until(lambda: rig.bearers() == {})


def later_run(rig: Rig) -> None:
    """Another run on that host works."""
    run = f"later-{rig.run_id}"
    rig.host(1, run_id=run).prepare()
    rig.host(5, run_id=run).supervise("exit 4")
    until((rig.home / ".nepiq" / run / "1/5/1/.told").exists)


everything = pytest.mark.parametrize("name", FILES)
anyhow = pytest.mark.parametrize("way", [removed, moved, replaced, read_only])


@everything
@anyhow
def test_it_ends_by_itself(
    rig: Rig, tended: Tended, way: Callable[[Path], None], name: str
) -> None:
    go = started(rig)
    if (way, name) == (replaced, "base"):
        pytest.skip("what is called .nepiq and is no directory is not removed")
    tamper(rig, way, name)
    go.write_text("go\n")
    expect_end(tended, "FAILED", 3)
    release(rig)


@pytest.mark.parametrize("name", ["boot", "journal", "supervisor"])
@anyhow
def test_another_worker_follows_it(
    rig: Rig, tended: Tended, way: Callable[[Path], None], name: str
) -> None:
    """What is there no more when a watch begins keeps it from nothing."""
    go = started(rig)
    until(lambda: tended.beats > 0)
    tended.pause()
    tamper(rig, way, name)
    tended.go_on()
    beats = tended.beats
    until(lambda: tended.beats > beats)
    go.write_text("go\n")
    expect_end(tended, "FAILED", 3)
    release(rig)


@everything
@anyhow
def test_it_is_stopped(rig: Rig, tended: Tended, way: Callable[[Path], None], name: str) -> None:
    started(rig)
    started(rig, 6)
    if (way, name) == (replaced, "base"):
        pytest.skip("what is called .nepiq and is no directory is not removed")
    tamper(rig, way, name)
    rig.host(5).end()
    # The command has ended; its supervisor, whose files are gone, does so after it.
    until(
        lambda: not [mark for mark in rig.bearers().values() if mark.split(".")[1:3] == ["5", "1"]],
    )
    expect_end(tended, "STOPPED", 143)
    release(rig)


@everything
@anyhow
def test_it_is_released(rig: Rig, way: Callable[[Path], None], name: str) -> None:
    """Nobody mends before; and by the release of the node alone as well."""
    started(rig)
    started(rig, 6)
    tamper(rig, way, name)
    release(rig)
    if (way, name) == (replaced, "base"):  # it may be somebody's
        with pytest.raises(HostError, match=r"\.nepiq is not a directory: move it away"):
            later_run(rig)
        (rig.home / ".nepiq").unlink()
    later_run(rig)


def test_a_stop_without_a_watch_and_files(rig: Rig) -> None:
    """`rm -rf .nepiq` in the application; what cleared its environment is ended with its group."""
    rig.host(5).supervise(
        f"rm -rf {quote(str(rig.home / '.nepiq'))}; cd /; env -i sleep 7771 & exec sleep 7772"
    )
    until(lambda: not (rig.home / ".nepiq").exists())
    rig.host(5).end()
    assert rig.bearers() == {}
    assert not _running("sleep 7771")


def _running(args: str) -> list[int]:
    wanted = args.replace(" ", "\0").encode() + b"\0"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cmdline").read_bytes() == wanted:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_lost_without_a_trace(rig: Rig, tended: Tended) -> None:
    """Its directory and its supervisor gone: the watch that knew it, or the comparison, tells."""
    started(rig)
    until(lambda: tended.beats > 0)
    for pid in rig.supervisors():
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(rig.root() / "5")
    expect_end(tended, "FAILED", None)


def test_asked_for_what_nobody_knows(rig: Rig, tended: Tended) -> None:
    """What Redis takes for running and the host has never heard of."""
    started(rig)
    tended.running = [(5, 1), (7, 1)]
    tended.begin_anew()
    until(lambda: tended.ends(7))
    assert "neither its supervisor nor a record" in tended.ends(7)[0].reason
    assert tended.ends(5) == []
    rig.host(5).end()
    expect_end(tended, "STOPPED", 143)
    tended.begin_anew()
    until(lambda: len(tended.ends(5)) > 1)
    assert {_told(ended) for ended in tended.ends(5)} == {("STOPPED", 143)}


def _told(ended: Exit) -> tuple[str, int | None]:
    return ended.outcome, ended.code


def test_nodes_of_one_run_share_a_home(rig: Rig) -> None:
    """The release of one does not end what the other started, whatever was removed."""
    rig.prepare(2)
    rig.host(5).supervise("exec sleep 600")
    rig.host(6, node=2).supervise("exec sleep 600")
    # Each has begun: until then a supervisor needs its script.
    until((rig.run_dir(5) / ".group").exists)
    until((rig.run_dir(6, node=2) / ".group").exists)
    shutil.rmtree(rig.home / ".nepiq")
    rig.host(1).dismantle()
    assert {name.split(".")[1] for name in rig.bearers().values()} == {"6"}
    rig.host(2, node=2).dismantle()
    assert rig.bearers() == {}
