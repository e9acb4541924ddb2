"""Whatever a host sends: it is understood, or it is an error of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nepiq.controller.errors import AnswerError, NepiqError
from nepiq.controller.experiment.logs import Frames
from nepiq.controller.model.durations import Deadline
from nepiq.workers.hosts import (
    Attempt,
    Completed,
    Entry,
    Follow,
    Lost,
    ProcessExit,
    Restarted,
    ShellHost,
)
from nepiq.workers.hosts.exit_journal import ExitLine
from nepiq.workers.hosts.paths import Layout
from nepiq.workers.sessions.answers import OUTPUT, shown
from nepiq.workers.sessions.channel import LineReader, Patience

JOURNAL = "0b7c2f1e-6a35-4a3b-9d2c-5a5a0d5a8a11"
AGAIN = f"again {JOURNAL} 5 1 2 7 123.45 {JOURNAL} ."
LINE = f"exit {JOURNAL} 5 1 3 FAILED 123.45 {JOURNAL} =6f75740a ~ZXJy ."

# Words that a host might say, and what they might be with a byte more or less.
WORDS = [
    "ok",
    "no",
    "75",
    "at",
    "got",
    "running",
    "ended",
    "exit",
    "lost",
    "boot",
    "journal",
    "beat",
]
WORDS += [
    "gone",
    "wait",
    "sum",
    "data",
    "5/1/stdout",
    "0",
    "1",
    "-",
    ".",
    "=",
    "~",
    "-1",
    "nan",
    "inf",
]
WORDS += [
    "9" * 5000,
    "1e400",
    "0x10",
    "\u0661",
    "",
    "123.45",
    "FAILED",
    JOURNAL,
    "=0",
    "=zz",
    "~=",
    "%",
]
sentences = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
texts = st.one_of(sentences, st.text(max_size=200), st.just(LINE), st.just(AGAIN))
said = st.one_of(
    st.lists(texts, max_size=4).map(lambda lines: "\n".join(lines).encode("utf-8", "replace")),
    st.binary(max_size=300),
)


class Says(LineReader):
    """A channel to a program that has said something, and ends."""

    complaint = ""
    closed = False

    def __init__(self, data: bytes) -> None:
        super().__init__(Patience())
        self._blocks = [data[at : at + 7] for at in range(0, len(data), 7)][::-1]

    def read(self, wanted: int = 1) -> bytes:
        return self._blocks.pop() if self._blocks else b""

    def write(self, data: bytes) -> None:
        pass

    def finish(self) -> None:
        pass

    def code(self) -> int:
        return 0

    def close(self) -> None:
        pass


class Session:
    """A session with a host that says the same to everything."""

    home = "/h"
    closed = False
    host_key = ""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def check(self) -> None:
        pass

    def execute(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        deadline: Deadline,
        cancel: threading.Event | None = None,
        most: int = OUTPUT,
    ) -> Completed:
        return Completed(0, self.data, b"")

    def open(self, command: str, **how: Any) -> Any:
        return Says(self.data)

    def close(self) -> None:
        pass


def host(data: bytes) -> ShellHost:
    """A host that says so."""
    return ShellHost(
        Attempt(
            Session(data),
            run_id="r",
            exp_id="e",
            node=1,
            guid=5,
            occasion=1,
            token=7,
            deadline=Deadline.after(60.0),
            where="app",
        )
    )


def sent(it: ShellHost) -> Iterator[bytes]:
    with it.files.send("file", length=5) as stream:
        yield from stream


def received(it: ShellHost) -> None:
    with it.files.receive("file", length=5) as stream:
        stream.write(b"x")
        stream.finish("0" * 64)


ASKED: dict[str, Callable[[ShellHost], object]] = {
    "facts": lambda it: it.facts,
    "run": lambda it: it.run("true"),
    "look": lambda it: it.run("true", mutates=False),
    "launch": lambda it: it.supervise("true"),
    "serve": lambda it: it.supervise("true", started_when="port:80"),
    "end": lambda it: it.end(),
    "clear": lambda it: it.clear(),
    "read": lambda it: it.read("file"),
    "write": lambda it: it.write("file", b"x"),
    "list": lambda it: it.listdir(),
    "send": lambda it: list(sent(it)),
    "receive": received,
    "open": lambda it: it.open("cat"),
    "prepare": lambda it: it.prepare(),
    "dismantle": lambda it: it.dismantle(),
    "tidy": lambda it: it.tidy(),
}


@pytest.mark.parametrize("what", sorted(ASKED))
@settings(max_examples=50)
@given(said)
@example(b"")
@example(b"no")
@example(b"no 75")
@example(b"hello\n")
@example(b"running 1 nan inf\n")
@example(b"1 2 3 99\nabc\nsum 5\n")
def test_answers(what: str, data: bytes) -> None:
    told = ""
    try:
        ASKED[what](host(data))
    except NepiqError as error:
        told = str(error)
    assert len(told) < 3000


CHANGES = ["end", "clear", "write", "receive", "dismantle", "tidy", "prepare", "launch", "open"]


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("data", [b"hello\n", b"no\n", b"okay\n", b"\x1b[31mno such thing\n"])
def test_nothing_is_taken_for_done(what: str, data: bytes) -> None:
    with pytest.raises(AnswerError, match="not understood"):
        ASKED[what](host(data))


@given(said)
@example(f"boot b\njournal j\nat 500 200.0 {LINE}\n".encode())
@example(f"at 500 200.0 {LINE.replace('=6f75740a', '')}\n".encode())
@example(f"boot {JOURNAL}\nat 500 200.0 {AGAIN}\nat 600 200.0 torn{AGAIN}\n".encode())
@example(f"at 500 200.0 {AGAIN.replace(' 2 7 ', ' 2 7777 ')}\n".encode())
@example(b"lost 1 2 killed\nlost 1\nlost x 1 killed\nat\nat 1\n")
def test_a_watch(data: bytes) -> None:
    entries = Follow(Session(data), Layout("r", 1, "/h"), "", 0)
    found: list[Entry] = []
    with pytest.raises(NepiqError):  # it ends, or is not understood
        found.extend(entry for entry in entries)
    for entry in found:
        if isinstance(entry, ProcessExit):
            assert sum(map(len, entry.exit.outputs.values())) < 4096
            assert 0.0 <= entry.exit.age < 1e12
        if isinstance(entry, ProcessExit | Lost):
            assert (entry.guid, entry.occasion) >= (0, 0)


@given(texts)
@example(LINE + "x" * 5000)
@example(LINE.replace(".", "=" + "00" * 3000, 1))
def test_a_line_of_a_journal(text: str) -> None:
    try:
        ExitLine.parse(text, now="200.0", boot_id="b")
    except ValueError:
        return
    assert len(text) <= 4096


def test_a_restart_is_understood() -> None:
    said = f"boot {JOURNAL}\njournal {JOURNAL}\nat 90 200.0 torn{AGAIN}\n".encode()
    entries = Follow(Session(said), Layout("r", 1, "/h"), "", 0)
    _, _, restarted = (next(entries) for _ in range(3))
    assert restarted == Restarted(5, 1, 2, 7, 200.0 - 123.45, JOURNAL, 90)


def test_a_good_line_is_understood() -> None:
    line = ExitLine.parse(LINE, now="200.0", boot_id=JOURNAL)
    assert (line.guid, line.occasion, line.exit.code, line.exit.outcome) == (5, 1, 3, "FAILED")
    assert line.exit.outputs == {"stdout": b"out\n"}
    assert line.exit.age == pytest.approx(76.55)
    assert line.tail == "err"


@given(st.lists(st.one_of(said, st.just(b"data 5/1/stdout 0 3\nabcbeat\n")), max_size=4))
def test_frames(blocks: list[bytes]) -> None:
    frames = Frames({"5/1/stdout"})
    try:
        for block in blocks:
            for file, at, _ in frames.cut(block):
                assert (file, at >= 0) == ("5/1/stdout", True)
    except AnswerError:
        return


@given(st.binary(max_size=200))
def test_what_is_shown_is_harmless(data: bytes) -> None:
    text = shown(data)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 400


@given(st.binary(max_size=60), st.integers(1, 9), st.integers(0, 9))
def test_lines(data: bytes, most: int, more: int) -> None:
    lines = data.split(b"\n")
    lines = lines[:-1] if not lines[-1] else lines
    wanted = [line if len(line) <= most else b"" for line in lines]
    if wanted and not wanted[-1] and not data.endswith(b"\n"):
        wanted.pop()  # nothing of the last one is left
    longest = max(map(len, lines), default=0)
    try:
        found = list(Says(data).lines(most, more))
    except AnswerError:
        assert longest > most + more
    else:
        assert longest <= most + more
        assert found == wanted
