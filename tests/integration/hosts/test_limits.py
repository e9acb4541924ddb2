"""Hosts that send without end: what is read of it has a limit, in bytes and in time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import cast

import pytest

from nepiq.controller.errors import AnswerError, Cancelled, DeadlineError, HostError
from nepiq.controller.model.durations import Deadline
from nepiq.controller.model.login import Login
from nepiq.workers.hosts import LocalSession, Session, SessionPool
from nepiq.workers.sessions import running_time as running
from nepiq.workers.sessions.ssh import SshSession

from .remote import Remote

ENDLESS = "exec tr '\\0' x </dev/zero"


@pytest.fixture(params=["here", "over SSH"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    if request.param == "here":
        made = LocalSession()
        yield made
        made.close()
    else:
        yield cast("Remote", request.getfixturevalue("remote")).session()


def ended(session: Session, mark: str) -> bool:
    """Whether no process of a command with that text is left, soon."""
    looked = f"pgrep -f '[{mark[0]}]{mark[1:]}' || exit 0; sleep 0.2"
    looked = f"for i in 1 2 3 4 5 6 7 8 9 10; do {looked}; done; exit 1"
    return session.execute(looked, deadline=Deadline.after(20.0)).code == 0


def test_outputs(session: Session) -> None:
    for redirected in ("", " >&2"):
        with pytest.raises(AnswerError, match=r"an output of more than 1000000 bytes, .* 'xxxx"):
            session.execute(
                f": marked-outputs; {ENDLESS}{redirected}",
                deadline=Deadline.after(30.0),
                most=1_000_000,
            )
    done = session.execute(
        "head -c 1000000 /dev/zero", deadline=Deadline.after(30.0), most=1_000_000
    )
    assert len(done.stdout) == 1_000_000
    assert ended(session, "marked-outputs")


def test_a_deadline_holds_while_much_comes(session: Session) -> None:
    with pytest.raises(DeadlineError):
        session.execute(ENDLESS, deadline=Deadline.after(1.0), most=1 << 40)
    cancel = threading.Event()
    threading.Timer(1.0, cancel.set).start()
    with pytest.raises(Cancelled):
        session.execute(ENDLESS, deadline=Deadline.after(60.0), cancel=cancel, most=1 << 40)
    channel = session.open("exec yes", deadline=Deadline.after(1.0))
    with contextlib.closing(channel), pytest.raises(DeadlineError):
        for _ in channel.lines():
            pass


def test_a_line(session: Session) -> None:
    channel = session.open(f"echo short; {ENDLESS}")
    with contextlib.closing(channel):
        lines = channel.lines(100)
        assert next(lines) == b"short"
        with pytest.raises(AnswerError, match="a line of more than 100 bytes"):
            next(lines)
    channel = session.open("echo short; head -c 5000 /dev/zero; echo; echo after")
    with contextlib.closing(channel):
        assert list(channel.lines(100, 10_000)) == [b"short", b"", b"after"]


def test_a_line_that_drips(session: Session) -> None:
    channel = session.open("while sleep 0.1; do printf x; done", silence=1.0)
    with contextlib.closing(channel), pytest.raises(HostError, match="silent for 1 s"):
        list(channel.lines())


def test_a_silence_is_one_in_which_we_ran(session: Session) -> None:
    """By the clock more than the time of silence passes, while this process does not run."""
    channel = session.open("echo first; sleep 1; echo second; sleep 60", silence=5.0)
    with contextlib.closing(channel):
        lines = channel.lines()
        assert next(lines) == b"first"
        before = running.now()
        with running._running._lock:
            running._running._at -= 100.0  # as a process finds it that was stopped for so long
        assert running.now() - before < 2.0
        assert next(lines) == b"second"


class Server:
    """What listens where an sshd should, and sends the same again and again."""

    def __init__(self, first: bytes, then: bytes) -> None:
        self._first, self._then = first, then
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                made, _ = self._listening.accept()
                with made, contextlib.suppress(OSError):
                    made.sendall(self._first)
                    while self._then:
                        made.sendall(self._then)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10.0)


@pytest.mark.parametrize(
    ("first", "then", "why"),
    [
        (b"", b"x" * 4096, "a greeting without end"),
        (b"", b"hello\r\n" * 512, "no SSH greeting|hung up before the login"),
        (b"SSH-2.0-OpenSSH_9\r\n", b"\x7c" * 4096, "a message without end"),
    ],
    ids=["no line", "lines", "no message"],
)
def test_what_is_no_sshd(first: bytes, then: bytes, why: str) -> None:
    server, pool = Server(first, then), SessionPool("lab-1", "/dev/null")
    try:
        login = Login("127.0.0.1", port=server.port, username="nobody", connect_timeout=20.0)
        session = SshSession(pool.connection(login))
        with pytest.raises(HostError, match=why):
            session.execute("true", deadline=Deadline.after(60.0))
    finally:
        pool.close()
        server.close()
