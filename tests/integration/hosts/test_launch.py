"""Starting a command once per occasion, whatever happens to those who start it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conftest import Need

from nepiq.controller.errors import DeadlineError, HostError, InvalidValue
from nepiq.controller.model.host import Launch

from .rig import Rig, until


def ended(rig: Rig, guid: int, occasion: int = 1) -> Launch:
    """The launch once its process has ended, as an adopter is told."""
    until((rig.run_dir(guid, occasion) / ".told").exists)
    launch = rig.host(guid, occasion).supervise("touch again")
    assert launch.adopted
    assert launch.exit is not None
    return launch


def outcome(rig: Rig, command: str, guid: int = 5, **how: object) -> tuple[int | None, str, str]:
    rig.host(guid).supervise(command, **how)  # type: ignore[arg-type]
    done = ended(rig, guid).exit
    assert done is not None
    return done.code, done.outcome, done.reason


def test_true(rig: Rig) -> None:
    launch = rig.host(5).supervise("true")
    assert (launch.adopted, launch.exit) == (False, None)
    assert outcome(rig, "true") == (0, "FINISHED", "")
    assert [line[2:6] for line in rig.journal()] == [["5", "1", "0", "FINISHED"]]


def test_exit_codes(rig: Rig) -> None:
    assert outcome(rig, "nosuch", 5)[:2] == (127, "FAILED")
    code, word, reason = outcome(rig, "for n in 1 2 3 4; do echo $n >&2; done; exit 3", 6)
    assert (code, word) == (3, "FAILED")
    assert reason == "exited with 3: 2 | 3 | 4"
    own = "echo backtrace >&2; echo 'nepiq: ns-3 aborted: it' >&2; exit 3"
    assert outcome(rig, own, 9)[2] == "exited with 3: ns-3 aborted: it"
    hints = {7: "command not found on that host", 8: "ended by signal 9", 10: "okExitCodes"}
    for guid, command in ((7, "nosuch"), (8, "kill -KILL $$"), (10, "exit 9")):
        rig.host(guid).supervise(command)
        done = ended(rig, guid).exit
        assert done is not None
        assert hints[guid] in done.hint


def test_codes_that_are_fine(rig: Rig) -> None:
    assert outcome(rig, "exit 3", 5, ok_exit_codes=(0, 3))[:2] == (3, "FINISHED")
    assert outcome(rig, "exit 33", 6, ok_exit_codes=(0, 3))[:2] == (33, "FAILED")
    assert outcome(rig, "exit 77", 7, ok_exit_codes=None)[:2] == (77, "FINISHED")
    assert outcome(rig, "exit 0", 8, ok_exit_codes=(3,))[:2] == (0, "FAILED")
    assert outcome(rig, "exit 0", 9, ok_exit_codes=())[:2] == (0, "FAILED")


def test_a_living_launch_is_adopted(rig: Rig) -> None:
    first = rig.host(5).supervise("echo $$; exec sleep 60")
    time.sleep(0.2)  # by this its age grows
    second = rig.host(5).supervise("echo $$; exec sleep 60")
    assert (first.adopted, second.adopted) == (False, True)
    assert first.age < second.age >= 0.19  # hundredths, as floats
    assert second.exit is None
    assert len(rig.run_dir(5).joinpath("stdout").read_text().split()) == 1


@pytest.mark.parametrize("goes_on", ["sleep 60", "exit 3"])
def test_a_launch_whose_directory_was_removed_is_not_repeated(rig: Rig, goes_on: str) -> None:
    effects = rig.home / "effects"
    command = f"echo one >>'{effects}'; rm -rf \"$PWD\"; cd /; {goes_on}"
    rig.host(5).supervise(command)
    until(lambda: effects.exists() and not (rig.run_dir(5) / ".started").exists())
    again = rig.host(5).supervise(command)
    assert again.adopted
    assert (again.exit is not None and again.exit.code == 3) or goes_on == "sleep 60"
    assert effects.read_text() == "one\n"


def test_each_occasion_starts_anew(rig: Rig) -> None:
    for occasion in (1, 2):
        rig.host(5, occasion).supervise(f"echo {occasion}")
        done = ended(rig, 5, occasion).exit
        assert done is not None
        assert done.outputs["stdout"] == f"{occasion}\n".encode()


def test_verbatim(rig: Rig) -> None:
    command = """printf '%s\\n' "it's $(echo \\"so\\")" `echo back` 'a
b' "\\\\" $HOME \\
  'über' # a comment
cat <<END
$NEPIQ_ID
END
"""
    expected = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        env={**os.environ, "NEPIQ_ID": f"{rig.run_id}.5.1"},
        check=True,
    )
    rig.host(5).supervise(command)
    done = ended(rig, 5).exit
    assert done is not None
    assert done.outputs["stdout"] == expected.stdout


@pytest.mark.parametrize("lines", [1, 2000])
def test_a_command_of_200_kb(rig: Rig, lines: int) -> None:
    word = "'\"$(exit 1)`\\" * (200_000 // 13 // lines) + "\n" * (lines > 1)
    text = word * lines
    command = f"cat <<'END OF IT' | cksum\n{text}\nEND OF IT\n"
    expected = subprocess.run(
        ["cksum"], input=f"{text}\n".encode(), capture_output=True, check=True
    )
    rig.host(5).supervise(command)
    done = ended(rig, 5).exit
    assert done is not None
    assert done.outputs["stdout"] == expected.stdout


def test_a_long_command_of_one_line(rig: Rig) -> None:
    assert outcome(rig, "true " + "x" * 200_000 + "; exit 7")[0] == 7


def ignored_before() -> int:
    """Signals ignored since before this process, which a shell cannot change; see signal(7)."""
    status = Path("/proc/self/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    python = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    return int(mask, 16) & ~python


def test_what_a_command_finds(rig: Rig) -> None:
    rig.host(5).supervise(
        "pwd; ls /proc/self/fd; ps -o pgid= -o sid= -p $$; grep -E 'Sig(Ign|Blk)' /proc/self/status"
        "; echo $NEPIQ_ID $$",
        env={"A": "1"},
    )
    done = ended(rig, 5).exit
    assert done is not None
    text = done.outputs["stdout"].decode().split("\n")
    assert text[0] == str(rig.run_dir(5))
    assert text[1:5] == ["0", "1", "2", "3"]  # the last is what ls reads
    identity, pid = text[8].split()
    assert text[5].split() == [pid, pid]
    assert [int(line.split()[1], 16) for line in text[6:8]] == [0, ignored_before()]
    assert identity == f"{rig.run_id}.5.1"


def test_input_and_environment(rig: Rig) -> None:
    stdin = bytes(range(256)) * 400
    value = 'it\'s "$(so)"\n\\ ü'
    rig.host(5).supervise(
        'cat >copy; printf %s "$VALUE"', stdin=stdin, env={"VALUE": value, "EMPTY": ""}
    )
    done = ended(rig, 5).exit
    assert done is not None
    assert done.outputs["stdout"] == value.encode()
    assert rig.run_dir(5).joinpath("copy").read_bytes() == stdin
    assert rig.run_dir(5).joinpath(".env").stat().st_mode & 0o077 == 0


def test_no_input_and_empty_input(rig: Rig) -> None:
    for guid, stdin in ((5, None), (6, b"")):
        rig.host(guid).supervise("readlink /proc/self/fd/0; wc -c", stdin=stdin)
        done = ended(rig, guid).exit
        assert done is not None
        name, size = done.outputs["stdout"].decode().splitlines()
        assert size == "0"
        assert (name == "/dev/null") == (stdin is None)


def test_binary_outputs_travel(rig: Rig) -> None:
    rig.host(5).supervise(r"printf '\000\377\n\n'; printf '\001' >&2")
    done = ended(rig, 5).exit
    assert done is not None
    assert done.outputs == {"stdout": b"\0\xff\n\n", "stderr": b"\1"}


def test_large_outputs_stay(rig: Rig) -> None:
    size = 10 << 20
    rig.host(5).supervise(
        f"head -c {size} /dev/zero & head -c {size} /dev/zero >&2; wait; echo the end >&2; exit 2"
    )
    done = ended(rig, 5).exit
    assert done is not None
    assert dict(done.outputs) == {}
    assert done.reason.endswith("the end")
    assert rig.run_dir(5).joinpath("stdout").stat().st_size == size
    assert rig.run_dir(5).joinpath("stderr").stat().st_size == size + 8


@pytest.mark.parametrize(
    ("out", "err", "travel"),
    [
        (2700, 0, {"stdout", "stderr"}),
        (2701, 0, {"stderr"}),
        (1350, 1350, {"stdout", "stderr"}),
        (1500, 1300, {"stdout"}),
        (2000, 1000, {"stderr"}),
        (0, 2701, {"stdout"}),
    ],
)
def test_which_outputs_travel(rig: Rig, out: int, err: int, travel: set[str]) -> None:
    rig.host(5).supervise(f"head -c {out} /dev/zero; head -c {err} /dev/zero >&2")
    done = ended(rig, 5).exit
    assert done is not None
    assert set(done.outputs) == travel
    assert max(len(" ".join(line)) for line in rig.journal()) < 4000


def test_what_is_left_in_the_background_runs_on(rig: Rig) -> None:
    assert outcome(rig, "sleep 60 & exit 0") == (0, "FINISHED", "")
    assert list(rig.bearers().values()) == [f"{rig.run_id}.5.1"]
    rig.host(5).end()
    assert rig.bearers() == {}
    assert [line[5] for line in rig.journal()] == ["FINISHED"]


def test_what_cannot_be_launched(rig: Rig) -> None:
    for wrong in (
        {"command": "a\0b"},
        {"command": "true", "env": {"A B": "1"}},
        {"command": "true", "env": {"A": "1\0"}},
        {"command": "true", "started_when": "moon:full"},
        {"command": "true", "started_when": "port:0"},
        {"command": "true", "started_when": "port:65536"},
        {"command": "true", "started_when": "output:"},
        {"command": "true", "started_when": "output:("},
    ):
        with pytest.raises(InvalidValue):
            rig.host(5).supervise(**wrong)  # type: ignore[arg-type]
    assert not rig.run_dir(5).joinpath(".started").exists()


def test_concurrent_launches(rig: Rig) -> None:
    """120 launches of 40 commands by 12 at once: 40 effects, 40 lines."""
    commands = list(range(100, 140)) * 3
    random.Random(1).shuffle(commands)
    effects = rig.home / "effects"

    def launch(guid: int) -> bool:
        return rig.host(guid, token=7).supervise(f"echo {guid} >>'{effects}'").adopted

    with ThreadPoolExecutor(12) as threads:
        adopted = list(threads.map(launch, commands))
    assert adopted.count(False) == 40
    until(lambda: len(rig.journal()) >= 40)
    until(lambda: not rig.bearers())
    assert sorted(int(line[2]) for line in rig.journal()) == list(range(100, 140))
    assert Counter(effects.read_text().split()) == Counter(str(guid) for guid in range(100, 140))


def test_launchers_killed_anywhere(rig: Rig) -> None:
    """Each is killed a little later than the one before; the next attempt ends the matter."""
    effects = rig.home / "effects"
    effects.touch()
    lost = 0
    for number in range(60):
        guid = 100 + number
        command = f"echo {guid} >>'{effects}'; exec sleep 0.01"
        with contextlib.suppress(DeadlineError):
            rig.host(guid, timeout=0.0004 * number).supervise(command)
        done = rig.host(guid).supervise(command)
        lost += done.exit is not None and done.exit.code is None
    until(lambda: not rig.bearers())
    count = Counter(effects.read_text().split())
    assert max(count.values()) == 1
    assert len(count) == 60
    assert lost == 0
    assert sorted(int(line[2]) for line in rig.journal()) == list(range(100, 160))


def test_an_end_between_two_looks_is_no_loss(rig: Rig) -> None:
    """The command ends while a second attempt looks for its supervisor.

    A pipe in the place of ``.group`` holds the attempt there.
    """
    rig.host(5).supervise("exit 3")
    files = rig.run_dir(5)
    until(lambda: rig.journal() and not rig.bearers())
    (files / ".exit").rename(files / "exit")
    (files / ".group").rename(files / "group")
    os.mkfifo(files / ".group")
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(rig.host(5).supervise, "exit 3")
        with (files / ".group").open("w") as pipe:  # returns once somebody reads it
            (files / "exit").rename(files / ".exit")
            pipe.write((files / "group").read_text())
            (files / "group").rename(files / ".group")
        done = second.result()
    assert done.adopted
    assert done.exit is not None
    assert done.exit.code == 3
    assert len(rig.journal()) == 1


def test_supervisors_killed_anywhere(rig: Rig) -> None:
    """Killed while they start: what they had begun is lost, what they had not is started again."""
    effects = rig.home / "effects"
    effects.touch()
    words = Counter[str]()
    for number in range(30):
        guid = 100 + number
        command = f"echo {guid} >>'{effects}'; exec sleep 60"
        thread = threading.Thread(target=_attempt, args=(rig, guid, command))
        thread.start()
        end = time.monotonic() + 0.0012 * number
        while thread.is_alive() and time.monotonic() < end:
            _kill_supervisors(rig, f"{rig.run_id}.{guid}.1.supervisor")
        _kill_supervisors(rig, f"{rig.run_id}.{guid}.1.supervisor")
        thread.join()
        launch = rig.host(guid).supervise(command)
        if launch.exit is None:
            words["runs"] += 1
            rig.host(guid).end()
        else:
            words["lost"] += 1
            assert launch.exit.code is None
            assert launch.exit.outcome == "FAILED"
        until(lambda: not rig.bearers())
    assert max(Counter(effects.read_text().split()).values(), default=0) == 1
    assert words.total() == 30
    assert words["lost"] > 0


def _attempt(rig: Rig, guid: int, command: str) -> None:
    with contextlib.suppress(HostError):
        rig.host(guid).supervise(command)


def _kill_supervisors(rig: Rig, name: str) -> None:
    for pid, borne in rig.bearers().items():
        if borne == name:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_supervisor_killed(rig: Rig) -> None:
    """Its command outlives it, is never started again, and the next launch ends it."""
    rig.host(5).supervise("echo begun; sleep 60 & setsid sleep 60 & wait")
    until(lambda: len(rig.bearers()) == 4)
    (supervisor,) = rig.supervisors()
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: len(rig.bearers()) == 3)
    launch = rig.host(5).supervise("echo again")
    assert rig.bearers() == {}
    assert launch.adopted
    assert launch.exit is not None
    assert (launch.exit.code, launch.exit.outcome) == (None, "FAILED")
    assert "nobody saw it end" in launch.exit.reason
    assert launch.exit.outputs["stdout"] == b"begun\n"
    again = rig.host(5).supervise("echo again")
    assert again.exit is not None
    assert again.exit.code is None
    assert [line[2:6] for line in rig.journal()] == [["5", "1", "-", "LOST"]]


def test_a_cut_connection_launches_nothing(rig: Rig) -> None:
    """Whatever part of the input arrives, a command runs whole or not at all."""
    host = rig.host(5)
    command = host.attempt.command(
        "launch", 5, 1, host.attempt.token, "0", "none", "-", 3000, "#mark"
    )
    whole = b"-\n-\n\necho whole >>ran\ntrue#mark\n"
    for size in range(len(whole) - 1):
        done = rig.session.execute(command, stdin=whole[:size], deadline=host.attempt.deadline)
        assert done.stdout.startswith(b"no 65 "), size
    assert not rig.run_dir(5).joinpath(".started").exists()
    assert host.attempt.judge(
        rig.session.execute(command, stdin=whole, deadline=host.attempt.deadline).stdout
    )
    until((rig.run_dir(5) / ".told").exists)
    assert rig.run_dir(5).joinpath("ran").read_text() == "whole\n"


@pytest.fixture
def other_shell(tmp_path: Path, need: Need) -> Iterator[Rig]:
    bash = shutil.which("bash")
    need("bash", bash)
    made = Rig(tmp_path, shell=str(bash))
    made.prepare()
    yield made
    made.close()


def test_with_another_shell(other_shell: Rig) -> None:
    rig = other_shell
    assert outcome(rig, "echo out; echo err >&2; exit 3", 5) == (3, "FAILED", "exited with 3: err")
    assert rig.host(6).supervise("echo up; exec sleep 60", started_when="output:^up$").exit is None
    rig.host(6).end()
    done = ended(rig, 6).exit
    assert done is not None
    assert done.outcome == "STOPPED"
    rig.host(7).supervise("exec sleep 60")
    rig.host(7).clear()
    assert rig.bearers() == {}
