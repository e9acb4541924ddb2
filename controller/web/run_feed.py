"""The feed of one run: its rows, and their changes for all browsers that show it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..engine import threads
from ..engine.redis_errors import contact
from ..errors import NepiqError, RedisUnreachable
from ..errors.text import escaped
from ..experiment.logs import Following
from ..reports.page.story import KINDS
from .messages import FLUSH, Feed, message
from .rows import Row, RunRows, safe

if TYPE_CHECKING:
    from ..engine import Run

_BLOCK = 1.0
_PAUSE = 0.5

Values = Mapping[int, Mapping[str, Any]]


class RunFeed(Feed):
    """The rows of one run, and the thread that follows its events while browsers show it.

    The thread hands over what it has read.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._follower: _Follower | None = None
        self._problem = b""
        self._head: dict[str, Any] = {}
        self._rows: dict[int, Row] = {}
        self._versions: dict[int, str] = {}
        self._readings: dict[int, dict[str, Any]] = {}
        self._changed_rows: dict[int, Row] = {}
        self._changed_readings: dict[int, dict[str, Any]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to follow the run."""
        self._follower = _Follower(self, self._run)

    def close(self) -> None:
        """Stop to follow the run."""
        if self._follower is not None:
            self._follower.over.set()
            self._follower = None
        self._problem = b""

    async def finish(self) -> None:
        """Send the state of the run before the streams end: its last events may be on their way."""
        if self._follower is None or self._problem:
            return
        view = RunRows(self._run)
        with contextlib.suppress(NepiqError):
            await asyncio.to_thread(_load, view)
            self.replace(*_contents(view, view.rows))

    def first(self, last: str) -> list[bytes]:
        """Return all rows, or those that have changed after the last message of a browser."""
        if self._problem:
            return [self._problem]
        known = _moment(last)
        later = (0, 0) < known <= _moment(self._head["last"])
        rows = {
            guid: row
            for guid, row in self._rows.items()
            if not later or _moment(self._versions.get(guid, "")) > known
        }
        return [self._message(rows, all_of_them=not later), message("readings", self._readings)]

    def _message(self, rows: dict[int, Row], *, all_of_them: bool) -> bytes:
        head = {**self._head, "now": time.time(), "all": all_of_them, "rows": rows}
        return message("rows", head, self._head["last"])

    # -- from the thread ------------------------------------------------------------------------

    def hand_over(self, follower: _Follower, function: Callable[..., None], *args: Any) -> None:
        """Have the event loop call a function, unless the thread is not that of this feed."""

        def call() -> None:
            if follower is self._follower:
                function(*args)

        self.call(call)

    def replace(self, head: dict[str, Any], rows: dict[int, Row], versions: dict[int, str]) -> None:
        """Take over all rows of the run."""
        self._head, self._rows, self._versions = head, rows, versions
        self._problem, self._changed_rows = b"", {}
        self.loaded()
        self.send(self._message(rows, all_of_them=True))

    def update(self, head: dict[str, Any], rows: dict[int, Row], versions: dict[int, str]) -> None:
        """Take over rows that have changed."""
        self._head = head
        self._rows |= rows
        self._versions |= versions
        self._changed_rows |= rows
        self._schedule()

    def read(self, values: Values) -> None:
        """Take over values that resources report while they run."""
        for guid, named in values.items():
            self._readings.setdefault(guid, {}).update(named)
            self._changed_readings.setdefault(guid, {}).update(named)
        self._schedule()

    def report(self, kind: str, text: str) -> None:
        """Report to all browsers that the run cannot be read, ``away`` or ``gone``."""
        self._problem = message(kind, {"message": text})
        self.loaded()
        self.send(self._problem)

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH, self._flush)

    def _flush(self) -> None:
        self._timer = None
        # Also without rows: the phase of the run may have changed.
        rows, self._changed_rows = self._changed_rows, {}
        readings, self._changed_readings = self._changed_readings, {}
        if not self._problem and (rows or not readings):
            self.send(self._message(rows, all_of_them=False))
        if readings:
            self.send(message("readings", readings))


class _Follower:
    """The thread that follows a run, and the reader of outputs that it keeps.

    Args:
        feed: receives what it reads.
        run: the run.
    """

    def __init__(self, feed: RunFeed, run: Run) -> None:
        self.over = threading.Event()
        self._feed = feed
        self._view = RunRows(run)
        self._reader: _Reader | None = None
        threads.start(threading.Thread(target=self._follow, name="nepiq-web-run", daemon=True))

    def _follow(self) -> None:
        """Follow the run until no browser shows it; read it anew after Redis was away."""
        try:
            while not self.over.is_set():
                try:
                    with contact():
                        self._view.load()
                        self._publish(self._feed.replace, self._view.rows)
                        while not self.over.is_set():
                            self._step()
                except RedisUnreachable as error:
                    self._feed.hand_over(self, self._feed.report, "away", error.message)
                    self.over.wait(_PAUSE)
                except NepiqError as error:
                    self._feed.hand_over(self, self._feed.report, "gone", str(error))
                    return
        finally:
            if self._reader is not None:
                self._reader.close()

    def _step(self) -> None:
        """Wait for events, and publish what they change."""
        self._read_outputs()
        events = self._view.run.events(self._view.last, _BLOCK)
        if events:
            changed = self._view.advance(events)
            if changed is None:
                self._publish(self._feed.replace, self._view.rows)
            else:
                self._publish(self._feed.update, changed)

    def _publish(self, function: Callable[..., None], rows: dict[int, Row]) -> None:
        self._feed.hand_over(self, function, *_contents(self._view, rows))

    def _read_outputs(self) -> None:
        """Read outputs of resources that report values, if there are others than before."""
        guids = set(self._view.reading())
        if self._reader is not None:
            if guids <= self._reader.guids and (self._reader.is_alive or not guids):
                return
            self._reader.close()
        self._reader = _Reader(self._view, guids, self._read) if guids else None

    def _read(self, values: Values) -> None:
        self._feed.hand_over(self, self._feed.read, values)


class _Reader:
    """The thread that follows outputs, and has the types of their resources read the lines.

    Args:
        view: the rows of the run.
        guids: the resources.
        take: called with values by guid and name.
    """

    def __init__(self, view: RunRows, guids: set[int], take: Callable[[Values], None]) -> None:
        self.guids = guids
        self._take = take
        self._managers = {manager.label: manager for manager in map(view.manager, guids)}
        self._following = Following(view.run, view.run.records(sorted(guids)))
        self._thread = threading.Thread(target=self._run, name="nepiq-web-outputs", daemon=True)
        threads.start(self._thread)

    @property
    def is_alive(self) -> bool:
        """False once all resources have ended, or the outputs could not be read."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop following."""
        self._following.stop()

    def _run(self) -> None:
        # An error ends the thread; the next event of the run begins another one.
        with contextlib.suppress(NepiqError), contact():
            for label, stream, line in self._following.lines():
                if stream == "stdout":
                    self._read(label, line)

    def _read(self, label: str, line: str) -> None:
        try:
            values = {
                int(guid): {escaped(str(name)): safe(value) for name, value in named.items()}
                for guid, named in self._managers[label].readings(line).items()
            }
        except Exception:  # noqa: BLE001 - the class of a user may raise anything at any line
            return
        if values:
            self._take(values)


def _load(view: RunRows) -> None:
    with contact():
        view.load()


def _contents(
    view: RunRows, rows: dict[int, Row]
) -> tuple[dict[str, Any], dict[int, Row], dict[int, str]]:
    """Return the head of the message about some rows, the rows, and the versions of these."""
    head = {
        "run": view.run.run_id,
        "name": view.name,
        "campaign": view.campaign,
        "phase": view.phase,
        "begin": view.begin,
        "over": view.over,
        "order": view.order,
        "lines": view.lines,
        "addresses": view.addresses,
        "kinds": KINDS,
        "last": view.last,
    }
    return head, dict(rows), {guid: view.versions.get(guid, "") for guid in rows}


def _moment(identity: str) -> tuple[int, int]:
    """Return the id of an event as numbers, of which later ones are greater."""
    first, _, second = identity.partition("-")
    return (int(first), int(second)) if first.isdecimal() and second.isdecimal() else (0, 0)
