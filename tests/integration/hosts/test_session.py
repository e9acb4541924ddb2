"""Commands and channels on this machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nepiq.controller.errors import Cancelled, DeadlineError, HostError
from nepiq.controller.model.host import LineChannel
from nepiq.controller.model.timing import Deadline
from nepiq.workers.hosts import LocalSession, Session

from .rig import alive, until

MEGABYTES = 10 << 20


@pytest.fixture
def session() -> Iterator[LocalSession]:
    made = LocalSession()
    yield made
    made.close()


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(seconds)


def test_it_is_a_session(session: LocalSession) -> None:
    as_session: Session = session
    channel: LineChannel = as_session.open("cat")
    assert isinstance(channel, LineChannel)
    channel.close()


def test_code_outputs_and_input(session: LocalSession) -> None:
    done = session.execute("cat; echo err >&2; exit 3", stdin=b"a\0b\xff", deadline=soon())
    assert (done.code, done.stdout, done.stderr) == (3, b"a\0b\xff", b"err\n")


def test_code_of_a_signal(session: LocalSession) -> None:
    assert session.execute("kill -KILL $$", deadline=soon()).code == 137


def test_both_outputs_are_drained(session: LocalSession) -> None:
    both = f"head -c {MEGABYTES} /dev/zero & head -c {MEGABYTES} /dev/zero >&2; wait"
    done = session.execute(both, deadline=soon())
    assert (len(done.stdout), len(done.stderr)) == (MEGABYTES, MEGABYTES)


def test_input_that_is_read_slowly(session: LocalSession) -> None:
    done = session.execute("sleep 0.3; cat", stdin=bytes(MEGABYTES), deadline=soon())
    assert len(done.stdout) == MEGABYTES


def test_outputs_closed_before_the_end(session: LocalSession) -> None:
    assert session.execute("exec >&- 2>&-; sleep 0.2; exit 5", deadline=soon()).code == 5
    with pytest.raises(DeadlineError):
        session.execute("exec >&- 2>&-; exec sleep 60", deadline=soon(0.2))


def test_input_that_nobody_reads(session: LocalSession) -> None:
    assert session.execute("exit 4", stdin=bytes(1 << 20), deadline=soon()).code == 4


def test_the_deadline_kills_the_group(session: LocalSession, tmp_path: Path) -> None:
    with pytest.raises(DeadlineError):
        session.execute(
            f"sleep 60 & echo $! >'{tmp_path}/pid'; echo $$ >>'{tmp_path}/pid'; wait",
            deadline=soon(0.3),
        )
    for pid in (tmp_path / "pid").read_text().split():
        until(lambda pid=pid: not alive(int(pid)))


def test_no_time_left(session: LocalSession, tmp_path: Path) -> None:
    with pytest.raises(DeadlineError):
        session.execute(f"touch '{tmp_path}/ran'", deadline=soon(0))
    assert not (tmp_path / "ran").exists()


def test_cancel_ends_it(session: LocalSession) -> None:
    cancel = threading.Event()
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    with pytest.raises(Cancelled):
        session.execute("exec sleep 60", deadline=soon(), cancel=cancel)
    timer.join()


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


def test_channel_is_duplex(session: LocalSession) -> None:
    channel = session.open('while read -r line; do echo "got $line"; done; printf end')
    lines = channel.lines()
    for word in (b"one", b"two"):
        channel.send(word)
        assert next(lines) == b"got " + word
    channel.close()
    assert list(lines) == []


def test_channel_keeps_its_place(session: LocalSession) -> None:
    channel = session.open("printf '1\\n2\\n3\\nlast'")
    assert next(channel.lines()) == b"1"
    assert list(channel.lines()) == [b"2", b"3", b"last"]
    channel.close()


def test_channel_of_large_lines(session: LocalSession) -> None:
    channel = session.open("cat")
    line = b"x" * (1 << 20)
    sender = threading.Thread(target=channel.send, args=(line,))
    sender.start()
    assert next(channel.lines()) == line
    sender.join()
    channel.close()


def test_closing_wakes_reader_and_writer(session: LocalSession) -> None:
    quiet, full = session.open("exec sleep 60"), session.open("exec sleep 60")
    heard: list[bytes] = []
    refused: list[HostError] = []

    def write() -> None:
        try:
            full.send(bytes(1 << 20))
        except HostError as error:
            refused.append(error)

    reader = threading.Thread(target=lambda: heard.extend(quiet.lines()))
    writer = threading.Thread(target=write)
    reader.start()
    writer.start()
    time.sleep(0.05)
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


def test_channel_deadline_and_cancel(session: LocalSession) -> None:
    late = session.open("exec sleep 60", deadline=soon(0.1))
    with pytest.raises(DeadlineError):
        next(late.lines())
    cancel = threading.Event()
    cancelled = session.open("exec sleep 60", cancel=cancel)
    cancel.set()
    with pytest.raises(Cancelled):
        next(cancelled.lines())
    late.close()
    cancelled.close()


def test_channel_that_falls_silent(session: LocalSession) -> None:
    channel = session.open("echo one; echo trouble >&2; exec sleep 60", silence=0.3)
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


def test_channel_of_bytes(session: LocalSession) -> None:
    channel = session.open("cat; echo done >&2; exit 3")
    channel.write(b"a\0b\n")
    assert channel.read() == b"a\0b\n"
    channel.write(b"no newline")
    channel.finish()
    rest = b"".join(iter(channel.read, b""))
    assert (rest, channel.code(), channel.complaint) == (b"no newline", 3, "done")
    channel.close()


def test_code_of_a_channel_that_outlives_its_output(session: LocalSession) -> None:
    channel = session.open("exec >&- 2>&-; exec sleep 60", deadline=soon(0.2))
    assert channel.read() == b""
    with pytest.raises(DeadlineError):
        channel.code()
    channel.close()
