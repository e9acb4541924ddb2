"""Live display of runs: a table on a terminal, plain lines elsewhere."""

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

from ..engine import threads
from ..engine.redis_errors import contact
from ..errors import NepiqError
from ..experiment.waiting import Follower
from ..model.lifecycle import State
from ..reports.tables import Row, note, rows, summary
from .console import resource_table, state_text

if TYPE_CHECKING:
    from ..engine import Event, Run

_PRINTED = frozenset({"READY", "STARTED", "STOPPED", "FINISHED", "FAILED", "RELEASED"})
_POLL_SECONDS = 0.5  # latency of end()


class RunView(threading.Thread):
    """A thread that follows one run and passes its events to a display.

    Args:
        run: the run.
        display: the display.
    """

    def __init__(self, run: Run, display: Display) -> None:
        super().__init__(name=f"nepiq-view-{run.run_id}", daemon=True)
        self.experiment_run = run
        self.rows_by_guid: dict[int, Row] = {}
        self.phase = "RUNNING"
        self.problem: NepiqError | None = None
        self._display = display
        self._state_times: dict[int, float] = {}
        self._stop_requested = threading.Event()

    def run(self) -> None:
        """Follow the run until it is released or :meth:`end` is called."""
        try:
            with contact():
                self._follow()
        except NepiqError as error:
            self.problem = error

    def end(self) -> None:
        """Process the events so far, then stop the thread."""
        self._stop_requested.set()
        with contextlib.suppress(RuntimeError):  # interrupted before the thread was started
            self.join()

    def _follow(self) -> None:
        follower = Follower(self.experiment_run)
        self._load_rows(follower.states)
        while True:
            last = self._stop_requested.is_set()
            events = follower.follow(0.0 if last else _POLL_SECONDS)
            self.phase = follower.phase
            self._apply(events)
            if follower.phase in ("RELEASED", "GONE") or (last and not events):
                return

    def _load_rows(self, guids: Iterable[int]) -> None:
        """Load the records of resources that have no row yet, and of their hosts."""
        new = {guid for guid in guids if guid not in self.rows_by_guid}
        if not new:
            return
        run = self.experiment_run
        records = run.records(sorted(new))
        hosts = {record.host for record in records if record.host} - new - self.rows_by_guid.keys()
        records += run.records(sorted(hosts)) if hosts else []
        labels = {guid: row.label for guid, row in self.rows_by_guid.items()}
        self.rows_by_guid.update((row.guid, row) for row in rows(records, labels))
        for record in records:
            if record.state in record.milestones:
                self._state_times[record.guid] = record.milestones[record.state]

    def _apply(self, events: list[Event]) -> None:
        self._load_rows(event.guid for event in events if event.guid)
        for event in events:
            row = self.rows_by_guid.get(event.guid)
            if row is not None and event.what in State.__members__:
                remark = note(event.info if event.what == "FAILED" else None, event.info or {})
                row = replace(row, state=event.what, note=remark or row.note)
                self.rows_by_guid[event.guid] = row
                self._state_times[event.guid] = event.time
            self._display.on_event(self, event)

    def rows(self) -> list[Row]:
        """Return the resources of the run as rows of a table, in order of registration."""
        now = time.time()
        return [
            replace(row, since=max(0.0, now - self._state_times[guid]))
            if guid in self._state_times
            else row
            for guid, row in sorted(self.rows_by_guid.copy().items())
        ]


class Display:
    """The display of the runs of one command.

    Args:
        console: the console to print on; a terminal gets a live table.
        quiet: print nothing.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self.views: list[RunView] = []
        self._begin_times: dict[int, float] = {}
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
        """True if a live table is drawn; other output must then be printed through ``console``."""
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
        """Start to show a run."""
        view = RunView(run, self)
        self.views.append(view)
        if not self.quiet and not self._live:
            self.console.print(f"run {run.run_id}")
        threads.start(view)

    def on_event(self, view: RunView, event: Event) -> None:
        """Print an event of a run, unless a live table shows it."""
        begin = self._begin_times.setdefault(id(view), event.time)
        if self.quiet or self._live:
            return
        seconds = f"{event.time - begin:8.3f} s"
        if not event.guid:
            if event.what != "RUNNING":
                self.console.print(f"{seconds}  run {event.what}", soft_wrap=True)
            return
        row = view.rows_by_guid.get(event.guid)
        if event.what in _PRINTED and row is not None:
            remark = f"  {row.note}" if row.note and event.what != "RELEASED" else ""
            line = f"{seconds}  {row.label} {event.what}{remark}"
            self.console.print(line, soft_wrap=True)

    def _table(self) -> RenderableType:
        parts: list[RenderableType] = []
        for view in self.views:
            resources = view.rows()
            head = Text(f"run {view.experiment_run.run_id} ").append_text(state_text(view.phase))
            head.append(f"  {summary(row.state for row in resources)}")
            parts += [head, resource_table(resources, limit=max(5, self.console.height - 6))]
        return Group(*parts) if parts else Text("waiting for the first deploy")
