"""Ending processes: all of ours, none of others."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.processes import alive

from nepiq.controller.errors import DeadlineError, FencedError
from nepiq.controller.model import Life
from nepiq.controller.model.host import Exit

from .rig import Rig, until


def how_it_ended(rig: Rig, guid: int = 5) -> Exit:
    launch = rig.host(guid).supervise("touch again")
    assert launch.exit is not None
    return launch.exit


@pytest.fixture
def bystanders() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that look a little like ours."""
    environments: list[dict[str, str]] = [
        {},
        {"NEPIQ_ID": ""},
        {"NEPIQ_ID": "other.5.1"},
        {"X": "NEPIQ_ID=run.5.1"},
    ]
    made = [subprocess.Popen(["sleep", "60"], env={**os.environ, **env}) for env in environments]
    # Without any environment, as programs have that overwrite it with their title.
    made.append(subprocess.Popen(["env", "-i", "/bin/sleep", "60"]))
    yield made
    for process in made:
        process.kill()
        process.wait()


def test_end(rig: Rig) -> None:
    rig.host(5).supervise("sleep 60 & wait")
    rig.host(5).end()
    assert rig.bearers() == {}
    ended = how_it_ended(rig)
    assert (ended.code, ended.outcome, ended.reason) == (143, "STOPPED", "")
    assert [line[2:6] for line in rig.journal()] == [["5", "1", "143", "STOPPED"]]


def test_end_of_nothing(rig: Rig) -> None:
    rig.host(5).end()
    rig.host(5).supervise("true")
    until((rig.run_dir(5) / ".told").exists)
    rig.host(5).end()
    rig.host(5).end()
    assert how_it_ended(rig).outcome == "FINISHED"


def test_what_ignores_term_is_killed_after_the_grace(rig: Rig) -> None:
    rig.host(5).supervise("trap '' TERM; echo up; while :; do sleep 0.05; done")
    until((rig.run_dir(5) / "stdout").read_text)
    before = time.monotonic()
    rig.host(5).end(grace=0.5)
    assert time.monotonic() - before >= 0.5
    assert rig.bearers() == {}
    assert (how_it_ended(rig).code, how_it_ended(rig).outcome) == (137, "STOPPED")


def test_what_needs_time_gets_it(rig: Rig) -> None:
    rig.host(5).supervise(
        "trap 'sleep 2; echo saved; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    )
    until((rig.run_dir(5) / "stdout").read_text)
    rig.host(5).end(grace=10)
    assert rig.bearers() == {}
    ended = how_it_ended(rig)
    assert (ended.code, ended.outcome) == (0, "STOPPED")
    assert ended.outputs["stdout"] == b"up\nsaved\n"


def test_a_shell_that_dies_before_its_child(rig: Rig) -> None:
    """The exit is recorded once the group is gone, so that it holds all of the output."""
    rig.host(5).supervise(
        "sh -c 'trap \"sleep 0.5; echo saved; exit\" TERM; echo up; while :; do sleep 0.02; done';"
        " echo never"
    )
    until((rig.run_dir(5) / "stdout").read_text)
    rig.host(5).end()
    ended = how_it_ended(rig)
    assert (ended.code, ended.outcome) == (143, "STOPPED")
    assert ended.outputs["stdout"] == b"up\nsaved\n"


def test_term_comes_once(rig: Rig) -> None:
    rig.host(5).supervise(
        "trap 'echo term' TERM; echo up; n=0; while [ $n -lt 20 ]; do sleep 0.02; n=$((n+1)); done"
    )
    until((rig.run_dir(5) / "stdout").read_text)
    rig.host(5).end()
    assert how_it_ended(rig).outputs["stdout"] == b"up\nterm\n"


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.02])
def test_an_end_at_the_same_moment(rig: Rig, delay: float) -> None:
    for guid in range(5, 9):
        rig.host(guid).supervise("exec sleep 0.03")
        time.sleep(delay)  # what is tested is an end at any moment
        rig.host(guid).end()
        ended = how_it_ended(rig, guid)
        assert (ended.code, ended.outcome) in {(0, "FINISHED"), (0, "STOPPED"), (143, "STOPPED")}
    assert len(rig.journal()) == 4


def test_end_right_after_the_launch(rig: Rig) -> None:
    for guid in range(5, 15):
        rig.host(guid).supervise("echo up; exec sleep 60")
        rig.host(guid).end()
        assert how_it_ended(rig, guid).outcome == "STOPPED"


def test_what_executes_another_program_at_the_moment_of_term(rig: Rig) -> None:
    """Such a process has no environment for a moment, and would live until the KILL."""
    leaves = "n=0; while [ $((n += 1)) -le 40 ]; do setsid sleep 600 & done; "
    life = Life(restart="always", restarts=8, pause=0.01, grace=3600)
    rig.host(5).supervise(leaves + "exit 0", life=life)
    until((rig.run_dir(5) / ".told").exists)
    rig.host(5).clear()
    assert rig.bearers() == {}


def test_children_that_left_the_group(rig: Rig) -> None:
    rig.host(5).supervise(
        "setsid sh -c 'setsid sleep 60 & exec sleep 60' & exec setsid -w sleep 60"
    )
    until(lambda: len(rig.bearers()) == 5)
    rig.host(5).end()
    assert rig.bearers() == {}


def test_group_members_without_the_identity(rig: Rig) -> None:
    rig.host(5).supervise("env -i sh -c 'echo $$; exec sleep 60'; :")
    until((rig.run_dir(5) / "stdout").read_text)
    pid = int((rig.run_dir(5) / "stdout").read_text())
    rig.host(5).end()
    assert not alive(pid)


def test_end_is_of_one_occasion(rig: Rig) -> None:
    for occasion in (1, 2, 11):
        rig.host(5, occasion).supervise("exec sleep 60")
    rig.host(55).supervise("exec sleep 60")
    rig.host(5, 1).end()
    names = {name for name in rig.bearers().values() if "supervisor" not in name}
    assert names == {f"{rig.run_id}.{rest}" for rest in ("5.2", "5.11", "55.1")}


def test_end_without_a_supervisor(rig: Rig) -> None:
    rig.host(5).supervise("echo up; exec sleep 60")
    os.kill(rig.supervisors()[0], 9)
    rig.host(5).end()
    assert rig.bearers() == {}
    assert (how_it_ended(rig).code, how_it_ended(rig).outcome) == (None, "STOPPED")


def test_end_that_is_cut_off_can_be_repeated(rig: Rig) -> None:
    rig.host(5).supervise("trap '' TERM; echo up; while :; do sleep 0.05; done")
    until((rig.run_dir(5) / "stdout").read_text)
    with pytest.raises(DeadlineError):
        rig.host(5, timeout=0.2).end(grace=60)
    assert rig.bearers()
    rig.host(5).end(grace=0)
    assert how_it_ended(rig).outcome == "STOPPED"


def test_clear_ends_all_of_one_resource(rig: Rig) -> None:
    for occasion in (1, 2):
        rig.host(5, occasion).supervise("setsid sleep 60 & exec sleep 60")
    rig.host(6).supervise("exec sleep 60")
    rig.host(5).run("setsid sleep 60 >/dev/null 2>&1 &")
    rig.host(5).clear()
    assert {name.split(".")[1] for name in rig.bearers().values()} == {"6"}
    assert sorted(line[5] for line in rig.journal()) == ["STOPPED", "STOPPED"]
    rig.host(5).clear()


def test_two_releases_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that was taken for dead and the next one do not end each other."""
    monkeypatch.setattr("nepiq.workers.hosts.shell_host.GRACE", 0.5)
    rig.host(5).supervise("trap '' TERM; echo up; while :; do sleep 0.05; done")
    until((rig.run_dir(5) / "stdout").read_text)
    token = rig.token()
    acts = [rig.host(5, token=token).clear for _ in range(3)]
    acts += [rig.host(1, token=token).dismantle for _ in range(2)]

    def release(act: Callable[[], None]) -> None:
        with contextlib.suppress(FencedError):  # to clear what has been dismantled
            act()

    with ThreadPoolExecutor(len(acts)) as threads:
        list(threads.map(release, acts))
    assert rig.bearers() == {}


def test_dismantle_leaves_nothing(
    rig: Rig, bystanders: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nepiq.workers.hosts.shell_host.GRACE", 0.5)
    for guid in (5, 6):
        rig.host(guid).supervise("setsid sh -c 'setsid sleep 60 & exec sleep 60' & exec sleep 60")
    rig.host(7).run("(sleep 60; touch x) >/dev/null 2>&1 &")
    rig.host(8).supervise("trap '' TERM; while :; do sleep 0.05; done")
    until(lambda: len(rig.bearers()) >= 12)
    rig.host(1).dismantle()
    assert rig.bearers() == {}
    assert [process.poll() for process in bystanders] == [None] * len(bystanders)
    assert rig.run_dir(5).joinpath("stdout").exists()
    assert sorted(line[2] for line in rig.journal()) == ["5", "6", "8"]


def test_a_record_of_another_boot_ends_nobody(
    rig: Rig, bystanders: list[subprocess.Popen[bytes]]
) -> None:
    """Nor does one whose process number belongs to another process by now."""
    for guid in (5, 6):
        rig.host(guid).supervise("exec sleep 60")
        rig.host(guid).end()
        (rig.run_dir(guid) / ".exit").unlink()
    number = bystanders[0].pid
    born = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2].split()[19]
    (rig.run_dir(5) / ".group").write_text(f"{number} {int(born) - 1}\n")
    (rig.run_dir(6) / ".group").write_text(f"{number} {born}\n")
    started = (rig.run_dir(6) / ".started").read_text().split()
    (rig.run_dir(6) / ".started").write_text(" ".join(["another-boot", *started[1:]]) + "\n")
    for guid in (5, 6):
        rig.host(guid).end(grace=0)
        assert rig.host(guid).supervise("true").exit is not None
    assert [process.poll() for process in bystanders] == [None] * len(bystanders)
