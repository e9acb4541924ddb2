"""How a command ends by itself: its time limit, its own signal, and its restarts."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable

import pytest
from tests import processes

from nepiq.controller.errors import InvalidValue
from nepiq.controller.model import Life
from nepiq.controller.model.host import Exit

from .rig import Rig, until

# Says which run it is, and ends so.
COUNT = 'n=$(($(cat n 2>/dev/null || echo 0) + 1)); echo $n >n; echo "run $n"; '
IGNORES = "trap '' TERM; while :; do sleep 0.05; done"


def ended(rig: Rig, guid: int = 5) -> Exit:
    until((rig.run_dir(guid) / ".told").exists)
    done = rig.host(guid).supervise("touch again").exit
    assert done is not None
    return done


def runs(rig: Rig, guid: int = 5) -> int:
    return (rig.run_dir(guid) / "stdout").read_text().count("run ")


def restarts(rig: Rig, guid: int = 5) -> list[list[str]]:
    """Number and exit code of each restart in the journal."""
    lines = (rig.root() / "journal").read_text().splitlines()
    words = [line.split() for line in lines if line.startswith("again ")]
    return [line[4:6] for line in words if line[2] == str(guid)]


# --- the time limit


def test_a_timeout(shell_rig: Rig) -> None:
    rig = shell_rig
    began = time.monotonic()
    rig.host(5).supervise("echo begun; exec sleep 600", life=Life(timeout=0.5))
    done = ended(rig)
    assert time.monotonic() - began >= 0.5
    assert (done.code, done.outcome) == (143, "FAILED")
    assert "its timeout has passed" in done.reason
    assert "raise timeout" in done.hint
    assert done.outputs["stdout"] == b"begun\n"
    until(lambda: rig.bearers() == {})


def test_an_end_before_the_timeout_leaves_nothing(shell_rig: Rig) -> None:
    rig = shell_rig
    rig.host(5).supervise("exit 3", ok_exit_codes=(3,), life=Life(timeout=600))
    assert ended(rig).outcome == "FINISHED"
    until(lambda: rig.bearers() == {})


def test_what_each_costs_on_the_host(rig: Rig) -> None:
    """One supervisor and the command; a time limit takes two processes more, the rest none."""
    lives = {5: Life(), 6: Life(stop_signal="INT", restart="always"), 7: Life(timeout=600)}
    for guid, life in lives.items():
        rig.host(guid).supervise("echo up; exec sleep 600", started_when="output:up", life=life)

    def counted() -> dict[int, int]:
        names = list(rig.bearers().values())
        return {guid: sum(f".{guid}.1" in name for name in names) for guid in lives}

    until(lambda: counted() == {5: 2, 6: 2, 7: 4})


def test_a_timeout_ends_all_of_it_by_force(rig: Rig) -> None:
    command = f'sh -c "{IGNORES}" & setsid sleep 600 & {IGNORES}'
    rig.host(5).supervise(command, life=Life(timeout=0.3, grace=0.3))
    assert ended(rig).code == 137
    until(lambda: rig.bearers() == {})


def test_a_timeout_without_a_supervisor(rig: Rig) -> None:
    """The lock goes with the supervisor, and the timer with it; the release ends the rest."""
    rig.host(5).supervise("exec sleep 600", life=Life(timeout=600))
    until(lambda: f"{rig.run_id}.5.1" in rig.bearers().values())
    (supervisor,) = rig.supervisors()
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: set(rig.bearers().values()) == {f"{rig.run_id}.5.1"})


def test_a_timeout_of_what_has_moved_its_directory(rig: Rig) -> None:
    command = 'mv "$PWD" "$HOME/moved-$$"; exec sleep 600'
    rig.host(5).supervise(command, env={"HOME": str(rig.home)}, life=Life(timeout=0.5))
    until((rig.run_dir(5) / ".exit").exists)
    assert rig.host(5).supervise("").exit is not None
    assert [line[5] for line in rig.journal()] == ["EXPIRED"]
    until(lambda: rig.bearers() == {})


def test_a_stop_comes_before_the_timeout(rig: Rig) -> None:
    rig.host(5).supervise("exec sleep 600", life=Life(timeout=600))
    rig.host(5).end()
    assert ended(rig).outcome == "STOPPED"


# --- its own signal


@pytest.mark.parametrize("name", ["INT", "HUP", "QUIT", "USR1"])
def test_the_signal_of_a_stop(rig: Rig, name: str) -> None:
    trap = f"trap 'echo got {name}; exit 0' {name}; trap 'echo got TERM' TERM; echo set; "
    command = trap + "while :; do sleep 0.02; done"
    rig.host(5).supervise(command, started_when="output:set", life=Life(stop_signal=name))
    rig.host(5).end()
    done = ended(rig)
    assert (done.outcome, done.code) == ("STOPPED", 0)
    assert done.outputs["stdout"] == f"set\ngot {name}\n".encode()


def test_the_signal_of_a_release_and_of_a_timeout(rig: Rig) -> None:
    command = "trap 'echo got INT; exit 0' INT; echo set; while :; do sleep 0.02; done"
    life = Life(stop_signal="INT", timeout=600)
    for guid in (5, 6):
        rig.host(guid).supervise(command, started_when="output:set", life=life)
    rig.host(5).clear()
    rig.host(1).dismantle()
    for guid in (5, 6):
        assert (rig.run_dir(guid) / "stdout").read_text() == "set\ngot INT\n"


def test_a_timeout_uses_the_signal(rig: Rig) -> None:
    command = "trap 'echo got INT; exit 0' INT; while :; do sleep 0.02; done"
    rig.host(5).supervise(command, life=Life(stop_signal="INT", timeout=0.4))
    done = ended(rig)
    assert (done.outcome, done.code, done.outputs["stdout"]) == ("FAILED", 0, b"got INT\n")


def test_a_signal_that_does_not_end_it_is_followed_by_kill(rig: Rig) -> None:
    life = Life(stop_signal="WINCH")
    rig.host(5).supervise("echo set; exec sleep 600", started_when="output:set", life=life)
    rig.host(5).end(grace=0.2)
    assert (ended(rig).outcome, ended(rig).code) == ("STOPPED", 137)


def test_a_signal_that_is_none(rig: Rig) -> None:
    for life in (Life(stop_signal="STOP"), Life(restart="sometimes")):
        with pytest.raises(InvalidValue):
            rig.host(5).supervise("true", life=life)


def test_a_record_that_was_tampered_with(rig: Rig) -> None:
    command = "echo '; touch pwned' >.signal; echo set; exec sleep 600"
    rig.host(5).supervise(command, started_when="output:set", life=Life(stop_signal="INT"))
    rig.host(5).end()
    assert ended(rig).code == 143
    assert not (rig.run_dir(5) / "pwned").exists()


# --- restarts

BRIEF = 0.02


def test_restarts_until_it_succeeds(shell_rig: Rig) -> None:
    rig = shell_rig
    command = COUNT + '[ "$n" -ge 3 ] || exit 7'
    rig.host(5).supervise(command, life=Life(restart="on-failure", pause=BRIEF))
    done = ended(rig)
    assert (done.code, done.outcome) == (0, "FINISHED")
    assert done.outputs["stdout"] == b"run 1\nrun 2\nrun 3\n"
    assert restarts(rig) == [["1", "7"], ["2", "7"]]
    kept = (rig.run_dir(5) / ".restarts").read_text().splitlines()
    assert [line.split()[:2] for line in kept] == restarts(rig)


def test_the_last_exit_counts(rig: Rig) -> None:
    life = Life(restart="on-failure", restarts=2, pause=BRIEF)
    rig.host(5).supervise(COUNT + "exit $n", life=life)
    assert (ended(rig).code, ended(rig).outcome) == (3, "FAILED")
    life = Life(restart="always", restarts=2, pause=BRIEF)
    rig.host(6).supervise(COUNT + "exit 0", life=life)
    assert (ended(rig, 6).outcome, runs(rig, 6)) == ("FINISHED", 3)


def test_no_restart_of_what_has_succeeded(rig: Rig) -> None:
    rig.host(5).supervise(COUNT + "exit 0", life=Life(restart="on-failure", pause=BRIEF))
    assert (ended(rig).outcome, runs(rig)) == ("FINISHED", 1)


def test_the_pause_grows(rig: Rig) -> None:
    life = Life(restart="always", restarts=3, pause=0.1)
    began = time.monotonic()
    rig.host(5).supervise(COUNT + "date +%s.%N >>times", life=life)
    assert ended(rig).outcome == "FINISHED"
    assert time.monotonic() - began >= 0.7
    times = [float(text) for text in (rig.run_dir(5) / "times").read_text().split()]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True))


def test_what_a_run_leaves_is_ended_before_the_next(rig: Rig) -> None:
    leaves = "sleep 600 & setsid sleep 601 & "
    life = Life(restart="always", restarts=1, pause=BRIEF)
    rig.host(5).supervise(COUNT + leaves + "exit 0", life=life)
    assert ended(rig).outcome == "FINISHED"
    # Those of the last run belong to the resource, as without restarts.
    assert list(rig.bearers().values()).count(f"{rig.run_id}.5.1") == 2


def test_readiness_over_restarts(rig: Rig) -> None:
    command = COUNT + '[ "$n" -ge 3 ] || exit 1; echo ready; exec sleep 600'
    life = Life(restart="on-failure", pause=BRIEF)
    launch = rig.host(5).supervise(command, started_when="output:ready", life=life)
    assert (launch.exit, runs(rig)) == (None, 3)
    again = rig.host(5).supervise(command, started_when="output:ready", life=life)
    assert again.adopted


def _stop(rig: Rig) -> None:
    rig.host(5).end()


def _clear(rig: Rig) -> None:
    rig.host(5).clear()


def _dismantle(rig: Rig) -> None:
    rig.host(1).dismantle()


@pytest.mark.parametrize("end", [_stop, _clear, _dismantle])
def test_an_end_in_a_pause(shell_rig: Rig, end: Callable[[Rig], None]) -> None:
    rig = shell_rig
    rig.host(5).supervise(COUNT + "exit 1", life=Life(restart="always", pause=600.0))
    until(lambda: "sleep" in " ".join(_commands(rig)))
    _ends_at_once(rig, end)


@pytest.mark.parametrize("end", [_stop, _clear, _dismantle])
def test_an_end_while_it_runs(rig: Rig, end: Callable[[Rig], None]) -> None:
    command = COUNT + "exec sleep 600"
    life = Life(restart="always", pause=BRIEF)
    rig.host(5).supervise(command, started_when="output:run", life=life)
    _ends_at_once(rig, end)


def _ends_at_once(rig: Rig, end: Callable[[Rig], None]) -> None:
    began = time.monotonic()
    end(rig)
    assert time.monotonic() - began < 8.0  # not the grace of a stop, which the pause would take
    until(lambda: rig.bearers() == {})
    assert rig.journal()[-1][5] == "STOPPED"
    assert runs(rig) == 1


def _commands(rig: Rig) -> list[str]:
    """Command lines of what bears the mark of the resource itself."""
    own = f"{rig.run_id}.5.1"
    return [processes.command(pid) for pid, name in rig.bearers().items() if name == own]


def test_an_end_at_any_moment_of_a_restart(rig: Rig) -> None:
    """A loop of restarts without pause, ended at 20 moments: never a run after the stop."""
    for guid in range(5, 25):
        life = Life(restart="always", pause=0.0)
        rig.host(guid).supervise(COUNT + "exit 1", life=life)
        time.sleep(0.006 * (guid - 5))  # the moment that is tested
        rig.host(guid).end()
        seen = runs(rig, guid)
        (line,) = [line for line in rig.journal() if line[2] == str(guid)]
        assert line[5] == "STOPPED"
        assert f"{rig.run_id}.{guid}.1" not in rig.bearers().values()
        assert runs(rig, guid) == seen


def test_a_timeout_ends_restarts(rig: Rig) -> None:
    life = Life(restart="always", pause=600.0, timeout=0.6)
    rig.host(5).supervise(COUNT + "exit 1", life=life)
    done = ended(rig)
    assert (done.outcome, runs(rig)) == ("FAILED", 1)
    assert "timeout" in done.reason
    until(lambda: rig.bearers() == {})


def test_a_supervisor_killed_in_a_pause(rig: Rig) -> None:
    """It counts as lost, is not started again, and the pause is ended with the next request."""
    command = COUNT + "exit 1"
    rig.host(5).supervise(command, life=Life(restart="always", pause=600.0))
    until(lambda: "sleep" in " ".join(_commands(rig)))
    (supervisor,) = rig.supervisors()
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: rig.supervisors() == [])
    lost = rig.host(5).supervise(command, life=Life(restart="always", pause=600.0))
    assert lost.exit is not None
    assert (lost.exit.code, lost.exit.outcome, runs(rig)) == (None, "FAILED", 1)
    assert rig.bearers() == {}


def test_no_restart_without_its_directory(rig: Rig) -> None:
    command = f"echo run >>'{rig.home}/runs'; rm -rf \"$PWD\"; exit 1"
    rig.host(5).supervise(command, life=Life(restart="always", pause=BRIEF))
    until(lambda: rig.journal() != [])
    assert (rig.home / "runs").read_text() == "run\n"


# --- whether a start has succeeded


def _started(rig: Rig, guid: int = 5) -> str:
    return rig.host(guid).run('echo "<$NEPIQ_STARTED>"').text


def test_a_command_learns_whether_the_start_succeeded(rig: Rig) -> None:
    assert _started(rig) == "<>"
    rig.host(5).supervise("exit 1")
    until(lambda: len(rig.journal()) == 1)
    assert _started(rig) == "<>"
    assert rig.host(5).run("echo never", started_only=True).stdout == b""
    rig.host(6).supervise("exit 1", ok_exit_codes=None)
    rig.host(7).supervise("exec sleep 600")
    rig.host(8).supervise("echo up; exit 1", started_when="output:nothing")
    rig.host(9).supervise("exec sleep 600", life=Life(timeout=0.2))
    rig.host(10).supervise(
        "echo up; until [ -e go ]; do sleep 0.02; done; exit 1", started_when="output:up"
    )
    (rig.run_dir(10) / "go").touch()
    until(lambda: len(rig.journal()) == 5)
    started = {guid: _started(rig, guid) for guid in range(6, 11)}
    assert started == {6: "<1>", 7: "<1>", 8: "<>", 9: "<1>", 10: "<1>"}
    rig.host(7).end()
    assert _started(rig, 7) == "<1>"
    assert rig.host(7).run("echo yes", started_only=True).text == "yes"


def test_an_earlier_start_that_succeeded_counts(rig: Rig) -> None:
    rig.host(5).supervise("true")
    until(lambda: len(rig.journal()) == 1)
    rig.host(5, 2).supervise("false")
    until(lambda: len(rig.journal()) == 2)
    assert rig.host(5, 2).run("echo $NEPIQ_STARTED").text == "1"
