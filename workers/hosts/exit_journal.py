"""The journal of exits on a host: its lines, and the watch that follows them."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from ...controller.errors import FencedError, HostError, exit_hint
from ...controller.errors.text import last_lines
from ...controller.model.host import Exit
from ..sessions.answers import LINE, OUTPUT, misunderstood, moment, whole
from ..sessions.session import Session
from .paths import Layout

#: Seconds between the audits of a host, after each of which a watch sends a heartbeat.
PERIOD = 5.0
#: Seconds without an entry of a watch after which it counts as dead.
SILENCE = 16.0

_LOST = "its supervisor was killed or the host went down, so nobody saw it end"
_REASONS = {
    "killed": "its supervisor was killed, so nobody saw it end",
    "rebooted": "the host was rebooted while it ran",
    "gone": "neither its supervisor nor a record of its end is on the host: "
    "were they killed and removed?",
}
# How a line begins in which the script or the simulator of ns-3 says why it ended; backtraces and
# other messages may come before it.
_OWN = ("nepiq: ns-3 aborted", "nepiq: ended because it ran for ")
_OVERDUE = "it did not begin to serve in time and was ended"
_EXPIRED = "ended because its timeout has passed"
# The line that supervisor.sh composes: less than 4000 bytes.
_LONGEST = 4096
_LINE = re.compile(
    r"exit ([\w-]{1,64}) ([0-9]{1,9}) ([0-9]{1,9}) (-|[0-9]{1,3}) ([A-Z]{1,20}) "
    r"([0-9.]{1,20}) ([\w-]{1,64}) ([!-~]+) ([!-~]+) \.",
    re.ASCII,
)
# That of a restart.
_AGAIN = re.compile(
    r"again ([\w-]{1,64}) ([0-9]{1,9}) ([0-9]{1,9}) ([0-9]{1,9}) ([0-9]{1,3}) "
    r"([0-9.]{1,20}) ([\w-]{1,64}) \.",
    re.ASCII,
)
# Lines in a row that mean nothing, after which the host counts as one that is not understood.
_STRANGE = 100
# Launches in one line, which a shell reads byte by byte.
_ASKED = 100


@dataclass(frozen=True)
class Boot:
    """The boot of the host: the first entry."""

    boot_id: str


@dataclass(frozen=True)
class Journal:
    """The id of the journal. Offsets of another journal mean nothing in it."""

    journal_id: str


@dataclass(frozen=True)
class ProcessExit:
    """The end of a supervised process.

    Attributes:
        guid: the resource manager it belonged to.
        occasion: which start of it.
        exit: how it ended.
        journal_id: the journal that says so; "" if it cannot, or has said so before.
        offset: where its line ends there; a watch resumed from here does not repeat it.
    """

    guid: int
    occasion: int
    exit: Exit
    journal_id: str
    offset: int


@dataclass(frozen=True)
class Restarted:
    """The restart of a supervised process that had ended by itself.

    Attributes:
        guid: the resource manager it belongs to.
        occasion: which start of it.
        number: which restart of that start, from 1.
        code: the exit code before it.
        age: seconds since that exit, by the host's clock.
        journal_id: the journal that says so.
        offset: where its line ends there.
    """

    guid: int
    occasion: int
    number: int
    code: int
    age: float
    journal_id: str
    offset: int


@dataclass(frozen=True)
class Lost:
    """A launch without a supervisor and without an exit on record. The journal lacks it."""

    guid: int
    occasion: int
    reason: str = _LOST


@dataclass(frozen=True)
class HostHeartbeat:
    """A heartbeat of the watch, every :data:`PERIOD`."""


@dataclass(frozen=True)
class Dismantled:
    """The end of the run on the host, the last entry: nothing is left to watch, or to restore."""


Entry: TypeAlias = Boot | Journal | ProcessExit | Restarted | Lost | HostHeartbeat | Dismantled


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
        match = _LINE.fullmatch(line) if len(line) <= _LONGEST else None
        if match is None:
            raise ValueError(f"no line of a journal: {line[:80]!r}")
        journal_id, guid, occasion, code, outcome, since, boot, stdout, stderr = match.groups()
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
                age=max(0.0, moment(now) - moment(since)) if boot == boot_id else 0.0,
                reason=_reason(outcome, number, tail),
                outputs=outputs,
                hint=_hint(outcome, number, tail),
            ),
            overdue=outcome == "OVERDUE",
            tail=tail,
        )


def _decoded(text: str) -> bytes:
    if text.startswith(":"):
        return unquote_to_bytes(text[1:])
    if text.startswith("="):
        return bytes.fromhex(text[1:])
    return base64.b64decode("" if text == "." else text, validate=True)


def _reason(outcome: str, code: int | None, tail: str) -> str:
    if outcome in {"FINISHED", "STOPPED"}:
        return ""
    if outcome == "LOST":
        return _LOST
    causes = {"OVERDUE": _OVERDUE, "EXPIRED": _EXPIRED}
    detail = f": {_said(tail)}" if tail else ""
    return f"{causes.get(outcome, f'exited with {code}')}{detail}"


def _hint(outcome: str, code: int | None, tail: str) -> str:
    if outcome == "EXPIRED":
        return "raise timeout, or see its stdout and stderr"
    if outcome != "FAILED" or code is None:
        return ""
    return exit_hint(code, tail) or "set okExitCodes if this code is fine"


def _said(tail: str) -> str:
    """Return the last lines; of a simulation that says why it ended, only that."""
    last = last_lines(tail, 1)
    return last.removeprefix("nepiq: ") if last.startswith(_OWN) else last_lines(tail)


class Follow(Iterator[Entry]):
    """The entries of one node's watch as they come: Boot and Journal first.

    The same exit may be told twice, by two watches or by one that was killed at that moment.
    Iterating ends after :class:`Dismantled`, and once :meth:`close` was called, from any thread.
    """

    def __init__(self, session: Session, layout: Layout, journal_id: str, offset: int) -> None:
        """Start the watch; see :func:`follow`."""
        position = f"{quote(journal_id or '-')} {int(offset)}"
        command = (
            f"{layout.entry} && [ -f journal ] && "
            "[ -s journal ] && [ -w journal ] && [ -d fence ] || { echo gone; exit; }; "
            f'exec sh "$PWD/supervisor.sh" watch {position} {PERIOD:g}'
        )
        self._channel = session.open(command, silence=SILENCE)
        # A line that is too long is passed over: its exit stays on the host.
        self._lines = self._channel.lines(LINE, OUTPUT)
        self._strange = 0
        self._is_over = False
        self._closed = threading.Event()
        self._boot_id = ""

    def __next__(self) -> Entry:
        """Return the next entry.

        Raises:
            FencedError: the node's directory is gone from the host, or files that it needs.
            AnswerError: what it tells means nothing.
            HostError: the host fell silent, or the watch ended there.
        """
        for line in () if self._is_over else self._lines:
            entry = self._parse(line.decode("ascii", "replace"))
            if entry is not None:
                self._strange = 0
                self._is_over = isinstance(entry, Dismantled)
                return entry
            self._strange += 1
            if self._strange == _STRANGE:
                raise misunderstood(line)
        if self._is_over or self._closed.is_set():
            raise StopIteration
        raise HostError("the watch on the host ended", hint="connect again")

    @property
    def pending(self) -> bool:
        """True if another entry has arrived already."""
        return self._channel.pending

    def close(self) -> None:
        """End the watch; nothing of it stays on the host. May be called from another thread."""
        self._closed.set()
        self._channel.close()

    def question(self, launches: Sequence[tuple[int, int]]) -> None:
        """Request the ends of launches that count as running and are not.

        Args:
            launches: guid and occasion of each.

        Raises:
            HostError: the watch has ended.
        """
        for at in range(0, len(launches), _ASKED):
            names = " ".join(f"{guid}/{occ}" for guid, occ in launches[at : at + _ASKED])
            self._channel.send(f"held {names}".encode())

    def _parse(self, line: str) -> Entry | None:  # noqa: PLR0911 - one for each verb
        """Return the entry of a line; None if the line has no meaning."""
        verb, _, rest = line.partition(" ")
        if verb == "gone":
            raise FencedError("the directory of the run is gone")
        try:
            if verb == "at":
                return self._restarted(rest) or self._ended(rest)
            if verb == "told":
                return self._ended(f"0 {rest}")
            if verb == "lost":
                guid, occasion, why = rest.split(" ")
                return Lost(whole(guid), whole(occasion), _REASONS.get(why, _LOST))
        except ValueError:
            return None
        if verb == "boot":
            self._boot_id = rest
            return Boot(rest)
        if verb == "journal":
            return Journal(rest)
        if verb == "over":
            return Dismantled()
        return HostHeartbeat() if verb == "beat" else None

    def _restarted(self, text: str) -> Restarted | None:
        """Return the entry of the line of a restart; None for another line."""
        offset, now, line = text.split(" ", 2)
        match = _AGAIN.fullmatch(line[max(0, line.rfind("again ")) :])
        if match is None:
            return None
        journal_id, guid, occasion, number, code, since, boot = match.groups()
        age = max(0.0, moment(now) - moment(since)) if boot == self._boot_id else 0.0
        return Restarted(
            int(guid), int(occasion), int(number), int(code), age, journal_id, whole(offset)
        )

    def _ended(self, text: str) -> ProcessExit:
        offset, now, line = text.split(" ", 2)
        # A full disk may have torn the line before, without a newline. That exit comes again.
        line = line[line.rfind("exit ") :]
        exit_line, place = ExitLine.parse(line, now=now, boot_id=self._boot_id), whole(offset)
        journal_id = exit_line.journal_id if place else ""
        return ProcessExit(exit_line.guid, exit_line.occasion, exit_line.exit, journal_id, place)


def follow(session: Session, run: str, node: int, journal_id: str, offset: int) -> Follow:
    """Follow the journal of a node.

    Args:
        session: a session with its host.
        run: id of the run.
        node: guid of the node.
        journal_id: the journal that ``offset`` counts in; "" to read all there is.
        offset: bytes of it that are known already, as the last ProcessExit said.

    Raises:
        HostError: the host cannot be reached.
    """
    return Follow(session, Layout(run, node, session.home), journal_id, offset)
