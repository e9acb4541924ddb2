"""How processes ended, as the host tells it: the lines of the journal, and following them."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote
from typing import TypeAlias

from ...controller.errors import FencedError, HostError, exit_hint
from ...controller.model.host import Exit
from ...controller.text import last_lines
from .layout import Layout
from .session import Session

#: Seconds between the audits of a host, after each of which a watch says that it lives.
PERIOD = 5.0
#: Seconds without a word from a watch after which it counts as dead.
SILENCE = 16.0

_LOST = "its supervisor was killed or the host went down, so nobody saw it end"
_REASONS = {
    "killed": "its supervisor was killed, so nobody saw it end",
    "rebooted": "the host was rebooted while it ran",
}
_OVERDUE = "it did not begin to serve in time and was ended"
_FIELDS = 11  # of the line that supervisor.sh composes


@dataclass(frozen=True)
class Boot:
    """The host says which boot this is, first of all."""

    boot_id: str


@dataclass(frozen=True)
class Journal:
    """The host says which journal it follows. Offsets of another one mean nothing in it."""

    journal_id: str


@dataclass(frozen=True)
class Ended:
    """A supervised process ended.

    Attributes:
        guid: the resource manager it belonged to.
        occasion: which start of it.
        exit: how it ended.
        journal_id: the journal that says so.
        offset: where its line ends there; a watch resumed from here does not repeat it.
    """

    guid: int
    occasion: int
    exit: Exit
    journal_id: str
    offset: int


@dataclass(frozen=True)
class Lost:
    """A launch has no supervisor any more and no exit on record. It is not in the journal."""

    guid: int
    occasion: int
    reason: str = _LOST


@dataclass(frozen=True)
class Beat:
    """Nothing more to say, but the watch lives. Comes every :data:`PERIOD`."""


Entry: TypeAlias = Boot | Journal | Ended | Lost | Beat


@dataclass(frozen=True)
class ExitLine:
    """One line of the journal, as the supervisor composed it.

    Attributes:
        journal_id: the journal it was written for.
        guid: the resource manager.
        occasion: which start of it.
        exit: how it ended; its age is known only where ``now`` was given.
        overdue: True if it was ended because ``started_when`` was not met in time.
        tail: the end of its standard error.
    """

    journal_id: str
    guid: int
    occasion: int
    exit: Exit
    overdue: bool
    tail: str

    @classmethod
    def parse(cls, line: str, *, now: str, boot_id: str) -> ExitLine:
        """Read a line.

        Args:
            line: ``exit JOURNAL GUID OCC CODE OUTCOME MOMENT BOOT STDOUT STDERR .``
            now: the host's monotonic clock when it was read, in seconds, as text.
            boot_id: which boot that clock counts from.

        Raises:
            ValueError: it is no such line, or not a whole one.
        """
        words = line.split(" ")
        if len(words) != _FIELDS or words[0] != "exit" or words[-1] != ".":
            raise ValueError(f"no line of a journal: {line[:80]!r}")
        _, journal_id, guid, occasion, code, outcome, moment, boot, stdout, stderr, _ = words
        outputs = {
            name: _decoded(text)
            for name, text in (("stdout", stdout), ("stderr", stderr))
            if text[0] not in "-~"
        }
        end = base64.b64decode(stderr[1:]) if stderr[0] == "~" else outputs.get("stderr", b"")
        tail = end.decode("utf-8", "replace").strip()
        number = None if code == "-" else int(code)
        return cls(
            journal_id,
            int(guid),
            int(occasion),
            Exit(
                code=number,
                outcome=outcome if outcome in {"FINISHED", "STOPPED"} else "FAILED",
                age=max(0.0, float(now) - float(moment)) if boot == boot_id else 0.0,
                reason=_reason(outcome, number, tail),
                outputs=outputs,
            ),
            overdue=outcome == "OVERDUE",
            tail=tail,
        )


def _decoded(text: str) -> bytes:
    if text.startswith("="):
        return bytes.fromhex(text[1:])
    return base64.b64decode("" if text == "." else text, validate=True)


def _reason(outcome: str, code: int | None, tail: str) -> str:
    if outcome in {"FINISHED", "STOPPED"}:
        return ""
    if outcome == "LOST":
        return _LOST
    what = _OVERDUE if outcome == "OVERDUE" else f"exited with {code}"
    hint = exit_hint(code) if outcome == "FAILED" else ""
    said = f": {last_lines(tail)}" if tail else ""
    return f"{what}{said}" + (f" ({hint})" if hint else "")


class Follow(Iterator[Entry]):
    """What the host of one node tells, as it happens: Boot and Journal first, then the rest.

    The same exit may be told twice, by two watches or by one that was killed at that moment.
    Iterating ends once :meth:`close` was called, from any thread.
    """

    def __init__(self, session: Session, layout: Layout, journal_id: str, offset: int) -> None:
        """Begin to follow; see :func:`follow`."""
        known = f"{quote(journal_id or '-')} {int(offset)}"
        command = (
            f"cd {layout.root} 2>/dev/null || {{ echo gone; exit; }}; "
            f'exec sh "$PWD/supervisor.sh" watch {known} {PERIOD:g}'
        )
        self._channel = session.open(command, silence=SILENCE)
        self._lines = self._channel.lines()
        self._closed = threading.Event()
        self._boot_id = ""

    def __next__(self) -> Entry:
        """The next entry.

        Raises:
            FencedError: the node's directory is gone from the host: its run has been released.
            HostError: the host fell silent, or the watch ended there.
        """
        for line in self._lines:
            entry = self._parse(line.decode("ascii", "replace"))
            if entry is not None:
                return entry
        if self._closed.is_set():
            raise StopIteration
        raise HostError("the watch on the host ended", hint="connect again")

    @property
    def pending(self) -> bool:
        """True if more has been told already."""
        return self._channel.pending

    def close(self) -> None:
        """End the watch; nothing of it stays on the host. May be called from another thread."""
        self._closed.set()
        self._channel.close()

    def _parse(self, line: str) -> Entry | None:
        verb, _, rest = line.partition(" ")
        if verb == "at":
            return self._ended(rest)
        if verb == "boot":
            self._boot_id = rest
            return Boot(rest)
        if verb == "journal":
            return Journal(rest)
        if verb == "lost":
            guid, occasion, why = rest.split(" ")
            return Lost(int(guid), int(occasion), _REASONS.get(why, _LOST))
        if verb == "gone":
            raise FencedError("the directory of the run is gone")
        return Beat() if verb == "beat" else None

    def _ended(self, text: str) -> Ended | None:
        offset, now, line = text.split(" ", 2)
        # A full disk may have torn the line before, without a newline. That exit is told again.
        line = line[line.rfind("exit ") :]
        try:
            said = ExitLine.parse(line, now=now, boot_id=self._boot_id)
        except ValueError:
            return None
        return Ended(said.guid, said.occasion, said.exit, said.journal_id, int(offset))


def follow(session: Session, run: str, node: int, journal_id: str, offset: int) -> Follow:
    """Follow the journal of a node.

    Args:
        session: a session with its host.
        run: id of the run.
        node: guid of the node.
        journal_id: the journal that ``offset`` counts in; "" to read all there is.
        offset: bytes of it that are known already, as the last Ended said.

    Raises:
        HostError: the host cannot be reached.
    """
    return Follow(session, Layout(run, node, session.home), journal_id, offset)
