"""Following the ends of processes."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import processes
from tests.processes import alive

from nepiq.controller.errors import FencedError, HostError
from nepiq.workers.hosts import (
    Boot,
    Dismantled,
    Entry,
    Follow,
    HostHeartbeat,
    Journal,
    LocalSession,
    Lost,
    ProcessExit,
    follow,
)

from .rig import Rig, commands_below, until

Watch = Callable[..., "Watcher"]


class Watcher(threading.Thread):
    """Collects entries, with the times they came."""

    def __init__(self, entries: Follow) -> None:
        super().__init__(daemon=True)
        self.entries = entries
        self.seen: list[Entry] = []
        self.times: list[float] = []
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            for entry in self.entries:
                self.times.append(time.clock_gettime(time.CLOCK_REALTIME))
                self.seen.append(entry)
        except HostError as error:
            self.error = error

    @property
    def exits(self) -> list[ProcessExit]:
        return [entry for entry in self.seen if isinstance(entry, ProcessExit)]

    @property
    def lost(self) -> list[Lost]:
        return [entry for entry in self.seen if isinstance(entry, Lost)]

    def close(self) -> None:
        self.entries.close()
        self.join(5)
        assert not self.is_alive()


@pytest.fixture
def watch(rig: Rig) -> Iterator[Watch]:
    made: list[Watcher] = []

    def begin(journal_id: str = "", offset: int = 0, node: int = 1) -> Watcher:
        watcher = Watcher(follow(rig.session, rig.run_id, node, journal_id, offset))
        made.append(watcher)
        return watcher

    yield begin
    for watcher in made:
        watcher.close()
    until(lambda: not [line for line in commands_below(rig.home) if "watch" in line])


def journal_id(rig: Rig) -> str:
    return (rig.root() / "journal").read_text().split()[1]


def size(rig: Rig) -> int:
    return (rig.root() / "journal").stat().st_size


def test_it_says_who_it_is_first(rig: Rig, watch: Watch) -> None:
    watcher = watch()
    until(lambda: len(watcher.seen) == 2)
    assert watcher.seen == [
        Boot(Path("/proc/sys/kernel/random/boot_id").read_text().strip()),
        Journal(journal_id(rig)),
    ]


def test_exits_as_they_come(rig: Rig, watch: Watch) -> None:
    watcher = watch()
    rig.host(5).supervise("echo out; exit 3")
    until(lambda: len(watcher.exits) == 1)
    rig.host(6, 2).supervise("true")
    until(lambda: len(watcher.exits) == 2)
    first, second = watcher.exits
    assert (first.guid, first.occasion, first.exit.code, first.exit.outcome) == (5, 1, 3, "FAILED")
    assert first.exit.outputs == {"stdout": b"out\n", "stderr": b""}
    assert first.journal_id == journal_id(rig)
    assert (second.guid, second.occasion, second.exit.outcome) == (6, 2, "FINISHED")
    assert first.offset < second.offset == size(rig)


def test_it_is_prompt(rig: Rig, watch: Watch) -> None:
    watcher = watch()
    until(lambda: len(watcher.seen) == 2)
    delays, commands = [], []
    for guid in range(5, 20):
        began = time.monotonic()
        rig.host(guid).run("true")
        commands.append(time.monotonic() - began)
        rig.host(guid).supervise("sleep 0.05; date +%s.%N")
        until(lambda: watcher.exits and watcher.exits[-1].guid == guid)  # noqa: B023
        delays.append(watcher.times[-1] - float(watcher.exits[-1].exit.outputs["stdout"]))
    # The date is printed before its process ends: this is more than the time from its end.
    # A look at every now and then would cost half of its interval; a command costs some ms.
    assert statistics.median(delays) < 0.2 + 10 * statistics.median(commands)


def test_begun_late(rig: Rig, watch: Watch) -> None:
    for guid in (5, 6):
        rig.host(guid).supervise("true")
    until(lambda: len(rig.journal()) == 2)
    time.sleep(0.3)  # how old they are is what is told
    watcher = watch()
    until(lambda: len(watcher.exits) == 2)
    # The host's clock counts hundredths of a second.
    assert min(round(ended.exit.age, 2) for ended in watcher.exits) >= 0.29


def test_resumed(rig: Rig, watch: Watch) -> None:
    first = watch()
    for guid in (5, 6, 7):
        rig.host(guid).supervise("true")
        until(lambda: first.exits and first.exits[-1].guid == guid)  # noqa: B023
    first.close()
    known = first.exits[0]
    second = watch(known.journal_id, known.offset)
    rig.host(8).supervise("true")
    until(lambda: len(second.exits) == 3)
    assert [ended.guid for ended in second.exits] == [6, 7, 8]
    assert second.exits[0].offset == first.exits[1].offset
    assert second.exits[-1].offset == size(rig)


@pytest.mark.parametrize("known", [("another-journal", 10), (None, 10**9), ("x; touch $HOME/x", 0)])
def test_an_offset_that_means_nothing(
    rig: Rig, watch: Watch, known: tuple[str | None, int]
) -> None:
    rig.host(5).supervise("true")
    until(rig.journal)
    watcher = watch(known[0] or journal_id(rig), known[1])
    until(lambda: len(watcher.exits) == 1)
    (ended,) = watcher.exits
    assert (ended.guid, ended.exit.code, ended.exit.outcome) == (5, 0, "FINISHED")
    assert ended.offset == size(rig)


def test_two_at_once(rig: Rig, watch: Watch) -> None:
    watchers = [watch(), watch()]
    for guid in range(5, 15):
        rig.host(guid).supervise("true")
    for watcher in watchers:
        until(lambda: len(watcher.exits) == 10)  # noqa: B023
    assert watchers[0].exits[-1].offset == watchers[1].exits[-1].offset


def test_an_exit_that_the_journal_missed(rig: Rig, watch: Watch) -> None:
    """A supervisor killed after it recorded the exit and before it rang the bell."""
    rig.host(5).supervise("echo out")
    until(lambda: not rig.bearers())
    journal = rig.root() / "journal"
    journal.write_text(journal.read_text().splitlines()[0] + "\n")
    (rig.run_dir(5) / ".told").unlink()
    watchers = [watch(), watch()]
    for watcher in watchers:
        until(lambda: watcher.exits)  # noqa: B023
    assert watchers[0].exits[0].exit.outputs["stdout"] == b"out\n"
    assert [len(watcher.exits) for watcher in watchers] == [1, 1]
    assert len(rig.journal()) == 1


def test_supervisor_killed(rig: Rig, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nepiq.workers.hosts.exit_journal.PERIOD", 0.4)
    rig.host(5).supervise("exec sleep 60")
    rig.host(6).supervise("exec sleep 60")
    watcher = watch()
    until(lambda: len(watcher.seen) == 2)
    os.kill(rig.supervisors()[0], signal.SIGKILL)
    until(lambda: watcher.lost)
    assert len(watcher.lost) == 1
    (lost,) = watcher.lost
    assert "nobody saw it end" in lost.reason
    again = watch()
    until(lambda: again.lost)
    assert again.lost == watcher.lost
    rig.host(lost.guid).supervise("true")
    until(lambda: watcher.exits)
    assert (watcher.exits[0].guid, watcher.exits[0].exit.code) == (lost.guid, None)
    until(lambda: any(isinstance(entry, HostHeartbeat) for entry in watcher.seen))


def test_after_a_reboot(rig: Rig, watch: Watch) -> None:
    """As the host would find it: processes gone, other boot id in the records, bells unwritten."""
    rig.host(5).supervise("exec sleep 60")
    rig.host(6).supervise("true")
    until((rig.run_dir(6) / ".told").exists)
    for pid in rig.bearers():
        os.kill(pid, signal.SIGKILL)
    until(lambda: not rig.bearers())
    for name in (rig.root() / "boot", rig.run_dir(5) / ".started", rig.run_dir(6) / ".exit"):
        boot = (rig.root() / "boot").read_text().strip()
        if name != rig.root() / "boot":
            name.write_text(name.read_text().replace(boot, "another-boot"))
    (rig.root() / "boot").write_text("another-boot\n")
    journal = rig.root() / "journal"
    journal.write_text(journal.read_text().splitlines()[0] + "\n")
    watcher = watch()
    until(lambda: watcher.exits and watcher.lost)
    assert (watcher.exits[0].guid, watcher.exits[0].exit.age) == (6, 0.0)
    assert watcher.lost[0].guid == 5
    assert rig.host(5).supervise("true").exit is not None


def test_a_torn_line(rig: Rig, watch: Watch) -> None:
    """A full disk may leave part of a line, without its end; what follows is still read."""
    rig.host(5).supervise("echo 5")
    until(rig.journal)
    with (rig.root() / "journal").open("a") as journal:
        journal.write(" ".join(rig.journal()[0])[:70])
    rig.host(6).supervise("echo 6")
    rig.host(7).supervise("echo 7")
    watcher = watch()
    until(lambda: len(watcher.exits) == 3)
    assert {ended.exit.outputs["stdout"] for ended in watcher.exits} == {b"5\n", b"6\n", b"7\n"}
    assert watcher.exits[-1].offset == size(rig)


def test_no_process_stays(rig: Rig, watch: Watch) -> None:
    for end in ("close", "session", "input"):
        session = LocalSession(home=str(rig.home))
        watcher = Watcher(follow(session, rig.run_id, 1, "", 0))
        until(lambda: len(watcher.seen) == 2)  # noqa: B023
        process = watcher.entries._channel._process  # type: ignore[attr-defined]
        if end == "close":
            watcher.close()
        elif end == "session":
            session.close()
        else:
            process.stdin.close()
        watcher.join(5)
        assert not watcher.is_alive()
        assert (watcher.error is None) == (end == "close")
        until(lambda: not members(process.pid))  # noqa: B023
        watcher.close()
        session.close()


@pytest.mark.parametrize("asked", [b"held 7/1\n", b""])
def test_no_process_stays_if_nobody_reads(rig: Rig, asked: bytes) -> None:
    """What a worker that was killed has asked is answered when nobody reads any more."""
    period = "60" if asked else "0.4"
    words = ["sh", str(rig.root(1) / "supervisor.sh"), "watch", "-", "0", period]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert [process.stdout.readline().split()[0] for _ in range(2)] == [b"boot", b"journal"]
        until(lambda: commands_of(process.pid) >= {"tail", "sleep"})
        process.stdout.close()
        if asked:
            process.stdin.write(asked)
            process.stdin.close()
        until(lambda: not members(process.pid))


def commands_of(group: int) -> set[str]:
    return {processes.command(pid).split(" ")[0] for pid in members(group)}


def members(group: int) -> list[int]:
    listing = subprocess.run(["ps", "-eo", "pid=,pgid="], capture_output=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listing.splitlines()]
    return [pid for pid, its_group in pairs if its_group == group and alive(pid)]


def test_a_directory_that_is_gone(rig: Rig, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nepiq.workers.hosts.exit_journal.PERIOD", 0.4)
    watcher = watch(node=2)
    until(lambda: watcher.error)
    assert isinstance(watcher.error, FencedError)
    rig.prepare(2)
    other = watch(node=2)
    until(lambda: len(other.seen) == 2)
    (rig.root(2) / "supervisor.sh").unlink()
    until(lambda: other.error)
    assert isinstance(other.error, FencedError)


@pytest.mark.parametrize("remove", [False, True])
def test_the_end_of_a_run_is_seen(rig: Rig, watch: Watch, remove: bool) -> None:
    """Not as files that are missing: nothing is to be restored."""
    watcher = watch()
    rig.host(5).supervise("exec sleep 60")
    rig.host(1).dismantle(remove=remove)
    watcher.join(10.0)
    assert not watcher.is_alive()
    assert watcher.exits[0].exit.outcome == "STOPPED"
    assert watcher.seen[-1] == Dismantled()
    assert watcher.error is None
