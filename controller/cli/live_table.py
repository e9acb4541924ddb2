"""Watching runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ..engine.redis_errors import contact
from ..errors import NepiqError
from ..experiment.waiting import Follower
from ..model.lifecycle import State
from ..reports.tables import Row, note, rows, summary
from .console import resource_table, state_text

if TYPE_CHECKING:
    from ..engine import Event, Run

_SAID = frozenset({"READY", "STARTED", "STOPPED", "FINISHED", "FAILED", "RELEASED"})
_SLICE = 0.5  # seconds after which the end of the script is noticed


class RunView(threading.Thread):
    """Follows one run and tells a display what happens.

    Args:
        run: the run.
        display: where to.
    """

    def __init__(self, run: Run, display: Display) -> None:
        super().__init__(name=f"nepiq-view-{run.run_id}", daemon=True)
        self.watched = run
        self.seen: dict[int, Row] = {}
        self.phase = "RUNNING"
        self.problem: NepiqError | None = None
        self._display = display
        self._reached: dict[int, float] = {}
        self._over = threading.Event()

    def run(self) -> None:
        """Follow until the run is released, or :meth:`end`."""
        try:
            with contact():
                self._follow()
        except NepiqError as error:
            self.problem = error

    def end(self) -> None:
        """Take what has happened so far, and return."""
        self._over.set()
        with contextlib.suppress(RuntimeError):  # an interrupt came before it was started
            self.join()

    def _follow(self) -> None:
        follower = Follower(self.watched)
        self._learn(follower.states)
        while True:
            last = self._over.is_set()
            events = follower.follow(0.0 if last else _SLICE)
            self.phase = follower.phase
            self._take(events)
            if follower.phase in ("RELEASED", "GONE") or (last and not events):
                return

    def _learn(self, guids: Iterable[int]) -> None:
        """Look up what events do not tell: each resource once, with the host it acts on."""
        wanted = {guid for guid in guids if guid not in self.seen}
        if not wanted:
            return
        records = self.watched.records(sorted(wanted))
        hosts = {record.host for record in records if record.host} - wanted - self.seen.keys()
        records += self.watched.records(sorted(hosts)) if hosts else []
        known = {guid: row.label for guid, row in self.seen.items()}
        self.seen.update((row.guid, row) for row in rows(records, known))
        for record in records:
            if record.state in record.milestones:
                self._reached[record.guid] = record.milestones[record.state]

    def _take(self, events: list[Event]) -> None:
        self._learn(event.guid for event in events if event.guid)
        for event in events:
            row = self.seen.get(event.guid)
            if row is not None and event.what in State.__members__:
                said = note(event.info if event.what == "FAILED" else None, event.info or {})
                told = replace(row, state=event.what, note=said or row.note)
                self.seen[event.guid] = told
                self._reached[event.guid] = event.time
            self._display.tell(self, event)

    def rows(self) -> list[Row]:
        """The run's resources as rows of a table."""
        now = time.time()
        return [
            replace(row, since=max(0.0, now - self._reached[guid]))
            if guid in self._reached
            else row
            for guid, row in sorted(self.seen.copy().items())
        ]


class Display:
    """Shows runs as they go.

    Args:
        console: where to; a live table if that is a terminal.
        quiet: show nothing.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self.views: list[RunView] = []
        self._began: dict[int, float] = {}
        self._live: Live | None = None
        if console.is_terminal and not quiet:
            self._live = Live(
                console=console,
                get_renderable=self._table,
                refresh_per_second=8,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )

    @property
    def live(self) -> bool:
        """True if a table is drawn, so that other output must be printed above it."""
        return self._live is not None

    def __enter__(self) -> Display:
        if self._live:
            self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        for view in self.views:
            view.end()
        if self._live:
            self._live.stop()

    def add(self, run: Run) -> None:
        """Show one more run."""
        view = RunView(run, self)
        self.views.append(view)
        if not self.quiet and not self._live:
            self.console.print(f"run {run.run_id}")
        view.start()

    def tell(self, view: RunView, event: Event) -> None:
        """Take note of an event; say it where no table shows it."""
        began = self._began.setdefault(id(view), event.time)
        if self.quiet or self._live:
            return
        seconds = f"{event.time - began:8.3f} s"
        if not event.guid:
            if event.what != "RUNNING":
                self.console.print(f"{seconds}  run {event.what}", soft_wrap=True)
            return
        row = view.seen.get(event.guid)
        if event.what in _SAID and row is not None:
            told = f"  {row.note}" if row.note and event.what != "RELEASED" else ""
            line = f"{seconds}  {row.label} {event.what}{told}"
            self.console.print(line, soft_wrap=True)

    def _table(self) -> RenderableType:
        parts: list[RenderableType] = []
        for view in self.views:
            shown = view.rows()
            head = Text(f"run {view.watched.run_id} ").append_text(state_text(view.phase))
            head.append(f"  {summary(row.state for row in shown)}")
            parts += [head, resource_table(shown, most=max(5, self.console.height - 6))]
        return Group(*parts) if parts else Text("waiting for the first deploy")
