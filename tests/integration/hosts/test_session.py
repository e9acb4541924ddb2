"""Commands and channels: what every session can do, on this machine and over SSH."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from tests.processes import alive

from nepiq.controller.errors import Cancelled, DeadlineError, HostError
from nepiq.controller.model.durations import Deadline
from nepiq.controller.model.host import LineChannel
from nepiq.workers.hosts import LocalSession, Session

from .remote import Remote
from .rig import until

MEGABYTES = 10 << 20


@dataclass
class Place:
    """A session, and a way to look at its machine without it."""

    session: Session
    folder: Path
    remote: Remote | None = None

    def alive(self, pid: int) -> bool:
        """Whether a process of the machine lives."""
        if self.remote is None:
            return alive(pid)
        return any(process.pid == pid for process in self.remote.host.processes())

    def read(self, name: str) -> str:
        """A file in the folder."""
        if self.remote is None:
            return (self.folder / name).read_text()
        return self.remote.host.run(f"cat '{self.folder / name}'").stdout


@pytest.fixture
def session() -> Iterator[LocalSession]:
    made = LocalSession()
    yield made
    made.close()


@pytest.fixture(params=["here", "over SSH"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "here":
        return Place(request.getfixturevalue("session"), tmp_path)
    remote = cast("Remote", request.getfixturevalue("remote"))
    session = remote.session()
    session.execute("true", deadline=soon())  # connects, which is not what the tests measure
    return Place(session, Path("/home/lab"), remote)


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(seconds)


def test_it_is_a_session(session: LocalSession) -> None:
    as_session: Session = session
    channel: LineChannel = as_session.open("cat")
    assert isinstance(channel, LineChannel)
    channel.close()


def test_code_outputs_and_input(place: Place) -> None:
    done = place.session.execute("cat; echo err >&2; exit 3", stdin=b"a\0b\xff", deadline=soon())
    assert (done.code, done.stdout, done.stderr) == (3, b"a\0b\xff", b"err\n")


def test_code_of_a_signal(place: Place) -> None:
    assert place.session.execute("kill -KILL $$", deadline=soon()).code == 137


def test_both_outputs_are_drained(place: Place) -> None:
    both = f"head -c {MEGABYTES} /dev/zero & head -c {MEGABYTES} /dev/zero >&2; wait"
    done = place.session.execute(both, deadline=soon())
    assert (len(done.stdout), len(done.stderr)) == (MEGABYTES, MEGABYTES)


def test_input_that_is_read_slowly(place: Place) -> None:
    done = place.session.execute("sleep 0.3; cat", stdin=bytes(MEGABYTES), deadline=soon())
    assert len(done.stdout) == MEGABYTES


def test_outputs_closed_before_the_end(place: Place) -> None:
    assert place.session.execute("exec >&- 2>&-; sleep 0.2; exit 5", deadline=soon()).code == 5
    with pytest.raises(DeadlineError):
        place.session.execute("exec >&- 2>&-; exec sleep 60", deadline=soon(0.2))


def test_input_that_nobody_reads(place: Place) -> None:
    assert place.session.execute("exit 4", stdin=bytes(1 << 20), deadline=soon()).code == 4


def test_the_deadline_kills_the_group(place: Place) -> None:
    with pytest.raises(DeadlineError):
        place.session.execute(
            f"sleep 60 & echo $! >'{place.folder}/pid'; echo $$ >>'{place.folder}/pid'; wait",
            deadline=soon(0.5),
        )
    for pid in map(int, place.read("pid").split()):
        until(lambda pid=pid: not place.alive(pid))


def test_no_time_left(place: Place) -> None:
    with pytest.raises(DeadlineError):
        place.session.execute(f"touch '{place.folder}/ran'", deadline=soon(0))
    again = place.session.execute(f"ls -a '{place.folder}'", deadline=soon())
    assert b"ran" not in again.stdout.split()


def test_cancel_ends_it(place: Place) -> None:
    cancel = threading.Event()
    timer = threading.Timer(0.3, cancel.set)
    timer.start()
    with pytest.raises(Cancelled):
        place.session.execute(
            f"echo $$ >'{place.folder}/pid'; exec sleep 60", deadline=soon(), cancel=cancel
        )
    timer.join()
    until(lambda: not place.alive(int(place.read("pid"))))


def test_close_ends_commands(session: LocalSession) -> None:
    timer = threading.Timer(0.1, session.close)
    timer.start()
    with pytest.raises(HostError, match="closed"):
        session.execute("exec sleep 60", deadline=soon())
    timer.join()
    with pytest.raises(HostError, match="closed"):
        session.execute("true", deadline=soon())
    assert session.closed


def test_a_group_of_its_own(session: LocalSession) -> None:
    done = session.execute("ps -o pgid= -o sid= -p $$; echo $$", deadline=soon())
    group, leader, pid = done.stdout.split()
    assert group == leader == pid
    assert int(pid) != os.getpgrp()


def test_channel_is_duplex(place: Place) -> None:
    channel = place.session.open('while read -r line; do echo "got $line"; done; printf end')
    lines = channel.lines()
    for word in (b"one", b"two"):
        channel.send(word)
        assert next(lines) == b"got " + word
    channel.close()
    assert list(lines) == []


def test_channel_keeps_its_place(place: Place) -> None:
    channel = place.session.open("printf '1\\n2\\n3\\nlast'")
    assert next(channel.lines()) == b"1"
    assert list(channel.lines()) == [b"2", b"3", b"last"]
    channel.close()


def test_channel_of_large_lines(place: Place) -> None:
    channel = place.session.open("cat")
    line = b"x" * (1 << 20)
    sender = threading.Thread(target=channel.send, args=(line,))
    sender.start()
    assert next(channel.lines()) == line
    sender.join()
    channel.close()


def test_closing_wakes_reader_and_writer(place: Place) -> None:
    quiet, full = place.session.open("exec sleep 60"), place.session.open("exec sleep 60")
    heard: list[bytes] = []
    refused: list[HostError] = []

    def write() -> None:
        try:
            full.send(bytes(8 << 20))  # more than any buffer between takes
        except HostError as error:
            refused.append(error)

    reader = threading.Thread(target=lambda: heard.extend(quiet.lines()))
    writer = threading.Thread(target=write)
    reader.start()
    writer.start()
    time.sleep(0.05)  # both wait by now, or begin on what is closed, which ends them too
    quiet.close()
    full.close()
    reader.join(5)
    writer.join(5)
    assert not reader.is_alive()
    assert not writer.is_alive()
    assert heard == []
    assert len(refused) == 1


def test_closing_ends_what_holds_the_output(session: LocalSession, tmp_path: Path) -> None:
    # The background process outlives its group's leader and keeps the output open.
    channel = session.open(f"sleep 60 & echo $!; echo $! >'{tmp_path}/pid'")
    pid = int(next(channel.lines()))
    channel.close()
    until(lambda: not alive(pid))


def test_channel_deadline_and_cancel(place: Place) -> None:
    late = place.session.open("exec sleep 60", deadline=soon(0.3))
    with pytest.raises(DeadlineError):
        next(late.lines())
    cancel = threading.Event()
    cancelled = place.session.open("exec sleep 60", cancel=cancel)
    cancel.set()
    with pytest.raises(Cancelled):
        next(cancelled.lines())
    late.close()
    cancelled.close()


def test_channel_that_falls_silent(place: Place) -> None:
    channel = place.session.open("echo one; echo trouble >&2; exec sleep 60", silence=0.3)
    lines = channel.lines()
    assert next(lines) == b"one"
    with pytest.raises(HostError, match=r"silent.*trouble"):
        next(lines)
    channel.close()


def test_sending_to_a_program_that_ended(session: LocalSession) -> None:
    channel = session.open("exec <&-; echo closed; exec sleep 60")
    assert next(channel.lines()) == b"closed"
    with pytest.raises(HostError, match="ended"):
        channel.send(b"hello")
    channel.close()


def test_channel_of_bytes(place: Place) -> None:
    channel = place.session.open("cat; echo done >&2; exit 3")
    channel.write(b"a\0b\n")
    assert channel.read() == b"a\0b\n"
    channel.write(b"no newline")
    channel.finish()
    rest = b"".join(iter(channel.read, b""))
    assert (rest, channel.code(), channel.complaint) == (b"no newline", 3, "done")
    channel.close()


def test_code_of_a_channel_that_outlives_its_output(place: Place) -> None:
    channel = place.session.open("exec >&- 2>&-; exec sleep 60", deadline=soon(0.5))
    assert channel.read() == b""
    with pytest.raises(DeadlineError):
        channel.code()
    channel.close()
