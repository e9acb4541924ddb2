"""Commands that are started by one request share a shell; each has a supervisor of its own."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
from tests import processes

from nepiq.controller.errors import FencedError, NepiqError
from nepiq.controller.model.host import Exit, Launch, Life
from nepiq.workers.hosts import ShellHost
from nepiq.workers.hosts.exchange import Pending, Recorded, ask_together

from .rig import Rig, until
from .tended import Tended

GUIDS = range(100, 120)


def wishes(hosts: Sequence[ShellHost], ask: Callable[[ShellHost], object]) -> list[Pending]:
    """What is asked of each host, as a request that is not made yet."""
    pending = []
    for host in hosts:
        host.attempt.exchange = Recorded([])
        try:
            ask(host)
        except Pending as request:
            pending.append(request)
    return pending


def together(
    hosts: Sequence[ShellHost], command: Callable[[int], str]
) -> list[Launch | NepiqError]:
    """Start a command on each by one request; the launch of each, or why there is none."""
    made = list[Launch | NepiqError]()
    pending = wishes(hosts, lambda host: host.supervise(command(host.attempt.guid)))
    for host, answer in zip(hosts, ask_together(pending), strict=True):
        host.attempt.exchange = Recorded([answer], alone=True)
        try:
            made.append(host.supervise(command(host.attempt.guid)))
        except NepiqError as error:
            made.append(error)
    return made


def started(rig: Rig, command: Callable[[int], str], guids: Sequence[int] = GUIDS) -> list[Launch]:
    launches = together([rig.host(guid) for guid in guids], command)
    assert [launch for launch in launches if isinstance(launch, NepiqError)] == []
    return launches  # type: ignore[return-value]


def told(rig: Rig, guids: Sequence[int] = GUIDS) -> dict[int, Exit]:
    """How each has ended, as an adopter is told, once the journal has them."""
    until(lambda: all((rig.run_dir(guid) / ".told").exists() for guid in guids))
    ends = {}
    for guid in guids:
        launch = rig.host(guid).supervise("touch again")
        assert launch.adopted
        assert launch.exit is not None
        ends[guid] = launch.exit
    return ends


def supervisor_of(rig: Rig, guid: int) -> int:
    name = f"{rig.run_id}.{guid}.1.supervisor"
    (pid,) = (pid for pid, identity in rig.bearers().items() if identity == name)
    return pid


def test_commands_of_several_lines(shell_rig: Rig) -> None:
    """Short ones are started like those of one line; a byte 1 stands for newlines on the way."""
    texts = {
        100: "cat <<END\none\n\n  two\nEND\nexit 3\n",
        101: "\nprintf '%s' 'a\nb'",
        102: "printf '%s' '\x01\n\x01'",
        103: f"printf x\nprintf '%s' {'y' * 3000}",
    }
    outputs = {100: b"one\n\n  two\n", 101: b"a\nb", 102: b"\x01\n\x01", 103: b"x" + b"y" * 3000}
    for guid, text in texts.items():
        shell_rig.host(guid).supervise(text)
    ends = told(shell_rig, list(texts))
    assert {
        guid: shell_rig.run_dir(guid).joinpath("stdout").read_bytes() for guid in texts
    } == outputs
    assert [ends[guid].code for guid in texts] == [3, 0, 0, 0]
    shared = [
        guid for guid in texts if f"{guid}.1" in (shell_rig.run_dir(guid) / ".started").read_text()
    ]
    assert shared == [100, 101]


def begun(rig: Rig, guids: Sequence[int] = GUIDS) -> None:
    """Wait until each command runs, and nothing but its supervisor besides."""
    names = {f"{rig.run_id}.{guid}.1" for guid in guids}
    names |= {f"{name}.supervisor" for name in names}
    until(lambda: names <= set(rig.bearers().values()))


@pytest.fixture
def tended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tended]:
    monkeypatch.setattr("nepiq.workers.hosts.exit_journal.PERIOD", 0.3)
    made = Tended(rig)
    yield made
    made.close()


def test_the_signal_that_stops_each(shell_rig: Rig) -> None:
    rig, names = shell_rig, {100: "INT", 101: "TERM", 102: "HUP"}
    traps = "; ".join(f"trap 'echo got {name}; exit 0' {name}" for name in names.values())
    hosts = [rig.host(guid) for guid in names]

    def start(host: ShellHost) -> Launch:
        life = Life(stop_signal=names[host.attempt.guid])
        return host.supervise(f"{traps}; echo set; while :; do sleep 0.02; done", life=life)

    for host, answer in zip(hosts, ask_together(wishes(hosts, start)), strict=True):
        host.attempt.exchange = Recorded([answer])  # no further request is made
        assert start(host).exit is None
    outputs = {guid: rig.run_dir(guid) / "stdout" for guid in names}
    until(lambda: all(path.read_text() == "set\n" for path in outputs.values()))
    for guid in names:
        rig.host(guid).end()
    assert {guid: path.read_text() for guid, path in outputs.items()} == {
        guid: f"set\ngot {name}\n" for guid, name in names.items()
    }


def test_each_is_what_it_is_alone(shell_rig: Rig) -> None:
    rig = shell_rig
    launches = started(
        rig,
        lambda guid: (
            f"echo $NEPIQ_ID $NEPIQ_NODE $$ $(ps -o pgid=,sid= -p $$); pwd; "
            f"trap 'echo heeded' INT; kill -s INT $$; exit {guid % 3}"
        ),
    )
    assert {(launch.adopted, launch.exit) for launch in launches} == {(False, None)}
    ends = told(rig)
    for guid, end in ends.items():
        names, place, heeded = end.outputs["stdout"].decode().splitlines()
        identity, node, *numbers = names.split()
        assert (identity, node) == (f"{rig.run_id}.{guid}.1", f"{rig.run_id}.1")
        assert len(numbers) == 3
        assert len(set(numbers)) == 1, "it leads a session and a group"
        assert (place, heeded) == (str(rig.run_dir(guid)), "heeded")
        assert (end.code, end.outcome) == (guid % 3, "FAILED" if guid % 3 else "FINISHED")
    assert sorted(int(line[2]) for line in rig.journal()) == list(GUIDS)
    until(lambda: not rig.bearers())


def test_outputs_travel_as_they_are(shell_rig: Rig) -> None:
    rig = shell_rig
    texts = [
        b"one line\n",
        b"no end",
        b"100 % of\ttwo\n\nlines\n",
        b"%0A:%20=\\n$(x)`y`'\"\n",
        "über\n".encode(),
        b"a\0b\n",
        b"\1\2\3",
        b"\n" * 300,
        b"x" * 800,
        b"x" * 801,
        b" " * 790 + b"\0" * 10,
    ]
    guids = GUIDS[: len(texts)]
    for guid, text in zip(guids, texts, strict=True):
        (rig.home / f"text-{guid}").write_bytes(text)
    started(rig, lambda guid: f"cat '{rig.home}/text-{guid}'", guids)
    ends = told(rig, guids)
    assert [ends[guid].outputs["stdout"] for guid in guids] == texts


def test_an_output_that_is_written_by_name(rig: Rig) -> None:
    rig.host(5).supervise("echo a; echo by name >>stdout; head -c 2000 /dev/zero >>stdout; echo b")
    rig.host(6).supervise("echo only by name >>stdout")
    ends = told(rig, [5, 6])
    assert ends[5].outputs["stdout"] == b"a\nby name\n" + bytes(2000) + b"b\n"
    assert ends[6].outputs["stdout"] == b"only by name\n"


def test_a_refusal_and_an_adoption_concern_one(shell_rig: Rig) -> None:
    rig = shell_rig
    rig.host(100).supervise("exec sleep 60")
    older = rig.host(101)
    rig.host(101).run("true")
    hosts = [rig.host(100), older, rig.host(102), rig.host(102), rig.host(103)]
    again, refused, first, twin, other = together(hosts, lambda guid: "echo >>ran; exec sleep 60")
    assert isinstance(again, Launch)
    assert again.adopted
    assert isinstance(refused, FencedError)
    assert all(isinstance(launch, Launch) for launch in (first, twin, other))
    assert not rig.run_dir(101).exists()
    for guid in (102, 103):
        until((rig.run_dir(guid) / "ran").exists)
        assert (rig.run_dir(guid) / "ran").read_text() == "\n"


def test_one_is_stopped_and_the_others_go_on(shell_rig: Rig) -> None:
    rig = shell_rig
    started(rig, lambda guid: "exec sleep 60")
    begun(rig)
    rig.host(100).end()
    rig.host(101).clear()
    assert {line[2]: line[5] for line in rig.journal()} == {"100": "STOPPED", "101": "STOPPED"}
    begun(rig, GUIDS[2:])
    names = set(rig.bearers().values())
    assert not {name for name in names if ".100." in name or ".101." in name}


def test_a_supervisor_that_is_killed_is_missed_alone(rig: Rig, tended: Tended) -> None:
    started(rig, lambda guid: "exec sleep 60")
    begun(rig)
    os.kill(supervisor_of(rig, 105), signal.SIGKILL)
    until(lambda: tended.ends(105))
    begun(rig, [guid for guid in GUIDS if guid != 105])
    lost = rig.host(105).supervise("echo again").exit
    assert lost is not None
    assert (lost.code, lost.outcome) == (None, "FAILED")
    assert f"{rig.run_id}.105.1" not in rig.bearers().values()
    assert [line[2:6] for line in rig.journal()] == [["105", "1", "-", "LOST"]]


def test_a_supervisor_that_is_killed_at_its_birth(rig: Rig, tended: Tended) -> None:
    """Before its command is on record; the shell that forked it lives, and counts at first."""
    started(rig, lambda guid: "exec sleep 60", GUIDS[:2])
    begun(rig, GUIDS[:2])
    os.kill(supervisor_of(rig, 100), signal.SIGKILL)
    boot, pid, born, moment, name = (rig.run_dir(100) / ".started").read_text().split()
    earlier = f"{boot} {pid} {born} {float(moment) - 20:.2f} {name}\n"
    (rig.run_dir(100) / ".started").write_text(earlier)
    (rig.run_dir(100) / ".group").unlink()
    until(lambda: tended.ends(100))
    assert (tended.ends(100)[0].outcome, tended.ends(101)) == ("FAILED", [])
    begun(rig, [101])


def test_what_is_not_begun_yet_is_not_lost(rig: Rig, tended: Tended) -> None:
    """A worker may ask for it before the fork that supervises it has its name."""
    started(rig, lambda guid: "exec sleep 60", GUIDS[:2])
    begun(rig, GUIDS[:2])
    os.kill(supervisor_of(rig, 100), signal.SIGKILL)
    (rig.run_dir(100) / ".group").unlink()
    tended.running = [(100, 1), (101, 1)]
    tended.begin_anew()
    asked = tended.beats
    until(lambda: tended.beats > asked)
    assert (tended.ends(100), tended.ends(101)) == ([], [])


def test_without_the_shell_that_started_them(rig: Rig) -> None:
    go = rig.home / "go"
    started(rig, lambda guid: f"until [ -e '{go}' ]; do sleep 0.02; done; echo {guid}")
    begun(rig)
    (shell,) = (pid for pid in rig.bearers() if processes.read(pid, "comm") == b"supervisor\n")
    os.kill(shell, signal.SIGKILL)
    until(lambda: shell not in rig.bearers())
    assert [launch.exit for launch in started(rig, lambda guid: "echo again")] == [None] * 20
    go.touch()
    for guid, end in told(rig).items():
        assert end.outputs["stdout"] == f"{guid}\n".encode()
    until(lambda: not rig.bearers())


def test_directories_that_are_removed(rig: Rig, tended: Tended) -> None:
    """Who supervises them is known without any file of theirs."""
    gone = [rig.home / f"gone-{guid}" for guid in GUIDS]
    started(
        rig,
        lambda guid: f"rm -rf \"$PWD\"; cd /; touch '{rig.home}/gone-{guid}'; exec sleep 60",
    )
    until(lambda: all(path.exists() for path in gone))
    assert [launch.exit for launch in started(rig, lambda guid: "echo again")] == [None] * 20
    os.kill(supervisor_of(rig, 105), signal.SIGKILL)
    tended.running = [(guid, 1) for guid in GUIDS]
    tended.begin_anew()
    until(lambda: tended.ends(105))
    rig.host(106).end()
    assert [line[2:6:3] for line in rig.journal()] == [["106", "STOPPED"]]
    until(lambda: tended.ends(106))
    assert [guid for guid in GUIDS if tended.ends(guid)] == [105, 106]


def test_what_is_cut_starts_only_what_is_whole(rig: Rig) -> None:
    host = rig.host(5)
    command = (
        f"cd '{rig.root()}' && NEPIQ_ID={rig.run_id}.1.supervisor "
        'exec sh "$PWD/supervisor.sh" starts'
    )
    first = f"5 1 {host.attempt.token} 0 #m\n-\n-\necho whole >>ran#m\n".encode()
    for size in range(len(first) - 1):
        done = rig.session.execute(command, stdin=first[:size], deadline=host.attempt.deadline)
        assert done.stdout.startswith(b"no 65 "), size
    assert not rig.run_dir(5).exists()
    second = first.replace(b"5 1", b"6 1")
    done = rig.session.execute(command, stdin=first + second[:-9], deadline=host.attempt.deadline)
    assert done.stdout.startswith(b"no 65 ")
    assert not rig.run_dir(5).exists()


def test_all_released_anywhere(rig: Rig) -> None:
    """A little later each time: what had begun is ended, and what had not never begins."""
    words = Counter[str]()
    for number in range(26):
        guids = range(1000 + 8 * number, 1008 + 8 * number)
        hosts = [rig.host(guid) for guid in guids]
        later = [rig.host(guid) for guid in guids]
        found = list[Launch | NepiqError]()
        thread = threading.Thread(
            target=lambda hosts=hosts, found=found: found.extend(
                together(hosts, lambda guid: "exec sleep 60")
            )
        )
        if number == 25:
            ask_together(wishes(later, ShellHost.clear))
        thread.start()
        thread.join(0.002 * number if number else None)  # this moment is what varies
        ask_together(wishes(later, ShellHost.clear))
        thread.join()
        words.update("begun" if isinstance(launch, Launch) else "refused" for launch in found)
        assert not {type(it) for it in found if isinstance(it, NepiqError)} - {FencedError}
        until(lambda: not rig.bearers(), 3.0)
    assert {line[5] for line in rig.journal()} <= {"STOPPED"}
    assert min(words["begun"], words["refused"]) > 0


def test_all_killed_anywhere(rig: Rig) -> None:
    """Whatever lives is killed a little later than before; the next request ends the matter."""
    effects = rig.home / "effects"
    effects.touch()
    words = Counter[str]()
    for number in range(25):
        guids = range(1000 + 8 * number, 1008 + 8 * number)
        thread = threading.Thread(
            target=together,
            args=(
                [rig.host(guid) for guid in guids],
                lambda guid: f"echo {guid} >>'{effects}'; exec sleep 60",
            ),
        )
        thread.start()
        thread.join(0.002 * number if number else None)
        rng = random.Random(number)
        for pid, name in rig.bearers().items():
            if name.endswith(".supervisor") and rng.random() < 0.7:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        thread.join()
        for guid in guids:
            launch = rig.host(guid).supervise(f"echo {guid} >>'{effects}'; exec sleep 60")
            words["runs" if launch.exit is None else "lost"] += 1
            assert launch.exit is None or launch.exit.outcome == "FAILED"
        ask_together(wishes([rig.host(guid) for guid in guids], ShellHost.clear))
        until(lambda: not rig.bearers())
    count = Counter(effects.read_text().split())
    assert max(count.values()) == 1
    assert min(words["runs"], words["lost"]) > 0
