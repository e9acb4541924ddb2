"""A campaign as its page shows it, kept up to date by its history."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..campaign.health import Health
from ..campaign.row import FINISHED, Row
from ..campaign.time_left import TimeLeft
from ..engine.campaign_history import START, CampaignHistory
from ..errors import NepiqError, UnknownCampaign
from ..errors.text import escaped
from .campaign_cells import Cells
from .rows import safe

if TYPE_CHECKING:
    from ..engine import Backend
    from ..engine.campaign_records import CampaignRecord, Entry

LATEST = 50
"""Rows that the page lists."""

_MOST_CAUSES = 20
_MOST_CHANGES = 2000


class CampaignView:
    """One campaign.

    Args:
        backend: the installation.
        name: the campaign.

    Attributes:
        cells: of its points.
    """

    def __init__(self, backend: Backend, name: str) -> None:
        self._backend = backend
        self._store = backend.campaign(name)
        self._history = CampaignHistory(backend.redis, name)
        self.cells = Cells([])
        self._reset()

    def _reset(self) -> None:
        self._last = self._look = START
        self._rows = 0
        self._version = (0.0, 0)
        self._decides = False
        self._metrics: list[str] = []
        self._latest: deque[tuple[Row, int | None]] = deque(maxlen=LATEST)
        self._causes: dict[str, tuple[int, str]] = {}
        self._time_left = TimeLeft()
        self._active: dict[str, int] = {}

    def load(self) -> dict[str, Any]:
        """Read all of the campaign, and return the message with it.

        Raises:
            UnknownCampaign: it does not exist.
        """
        self._reset()
        record = self._record()
        self._version = _version(record)
        self._time_left = TimeLeft.of(self._store, record)
        definition = self._store.definition() or {}
        self._decides = bool(definition.get("stop") or definition.get("asks"))
        self._metrics = list(definition.get("metrics", ()))
        try:
            self.cells = Cells(self._store.segments())
        except NepiqError:  # a function of the space is in a module that only workers import
            self.cells = Cells([])
        while entries := self._history.read(self._last):
            self._add(entries)
        self._refresh(range(len(self.cells)))
        return self._message(self._record(), whole=True)

    def wait(self, block: float) -> list[Entry] | None:
        """Wait for a change; return the rows that came, or None if the time passed."""
        entries, look = self._history.changes(self._last, self._look, block)
        changed = bool(entries) or look != self._look
        self._look = look
        return entries if changed else None

    def advance(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """Take over entries and those after them; return the message with what has changed."""
        points = self._add(entries)
        while more := self._history.read(self._last):
            points |= self._add(more)
        record = self._record()
        # A retry has deleted rows; a space was added; it was removed and submitted again.
        if record.done < self._rows or _version(record) != self._version:
            return self.load()
        changed = self._refresh(points)
        return self._message(record, whole=len(changed) > _MOST_CHANGES, changed=changed)

    def point(self, index: int) -> dict[str, Any]:
        """Return the runs of a point."""
        runs = self.cells.runs(index)
        texts = iter(self._history.rows([position for *_, position in runs if position]))
        found = []
        for repetition, letter, active, position in runs:
            text = next(texts) if position else ""
            row = _told(Row.from_json(text), index) if text else {"run": active}
            found.append({**row, "repetition": repetition, "state": letter})
        existing = self._find(str(one["run"]) for one in found)
        return {"point": index, "runs": [{**one, "kept": existing[one["run"]]} for one in found]}

    # -- inside -------------------------------------------------------------------------------

    def _record(self) -> CampaignRecord:
        record = self._store.record()
        if record is None:
            raise UnknownCampaign(self._store.name, self._backend.campaigns())
        return record

    def _add(self, entries: Iterable[Entry]) -> set[int]:
        """Add entries; return the points of the rows among them."""
        points = set()
        for entry in entries:
            self._last = entry.id
            if entry.phase:
                self._time_left.interrupt()
            if not entry.row:
                continue
            row = Row.from_json(entry.row)
            self._rows += 1
            self._time_left.add(row)
            self.cells.add(row, entry.id)
            index = self.cells.point(row)
            if index is not None:
                points.add(index)
            self._latest.append((row, index))
            if row.outcome != FINISHED:
                cause = row.cause or row.error
                self._causes[cause] = (self._causes.get(cause, (0, ""))[0] + 1, row.run_id)
        return points

    def _refresh(self, points: Iterable[int]) -> list[tuple[int, str]]:
        enough: list[int] = []
        if self._decides and len(self.cells):
            asked = sorted(points)
            bits = self._store.enough(asked)
            enough = [point for point, bit in zip(asked, bits, strict=True) if bit]
        self._active = self._store.active()
        return self.cells.update(self._active, self._store.waiting(), enough)

    def _health(self) -> Health:
        leases = self._backend.pools.leases_of(self._active)
        return Health.from_data(self._store.quarantine(), [lease.host for lease in leases])

    def _find(self, runs: Iterable[str]) -> dict[str, bool]:
        """Return of runs whether their records exist."""
        asked = {run for run in runs if run}
        found = {info.run_id for info in self._backend.runs_of(sorted(asked))}
        return {"": False, **{run: run in found for run in asked}}

    def _message(
        self,
        record: CampaignRecord,
        *,
        whole: bool,
        changed: Sequence[tuple[int, str]] = (),
    ) -> dict[str, Any]:
        causes = sorted(self._causes.items(), key=lambda item: -item[1][0])[:_MOST_CAUSES]
        latest = [_told(*item) for item in reversed(self._latest)]
        repeats = sorted(self._store.repeated().items(), key=lambda item: -item[1].runs)
        repeats = repeats[:_MOST_CAUSES]
        runs = [row["run"] for row in latest] + [run for _, (_, run) in causes]
        existing = self._find([*runs, *(item.example for _, item in repeats)])
        health, left = self._health(), self._time_left.until_end(record)
        return {
            **asdict(record),
            "why": escaped(record.why),
            "done": record.done,
            "now": time.time(),
            "rate": self._time_left.rate,
            "left": "" if left is None else str(left),
            "hosts": health.hosts_in_use,
            "troubles": [
                {
                    "host": escaped(trouble.host),
                    "point": self.cells.number(trouble.point),
                    "id": trouble.point,
                    "text": trouble.text,
                }
                for trouble in health.troubles()
            ],
            "shape": self.cells.shape,
            "metrics": [escaped(name) for name in self._metrics],
            "causes": [
                {"cause": escaped(cause), "runs": count, "example": run, "kept": existing[run]}
                for cause, (count, run) in causes
            ],
            "repeats": [
                {
                    **item._asdict(),
                    "cause": escaped(cause),
                    "hosts": [escaped(host) for host in item.hosts],
                    "kept": existing[item.example],
                }
                for cause, item in repeats
            ],
            "latest": [{**row, "kept": existing[row["run"]]} for row in latest],
            "letters": self.cells.letters if whole else None,
            "changed": [] if whole else changed,
        }


def _version(record: CampaignRecord) -> tuple[float, int]:
    return record.created, record.total


def _told(row: Row, index: int | None) -> dict[str, Any]:
    """Return a row for the page."""
    return {
        "run": row.run_id,
        "point": index,
        "repetition": row.repetition,
        "seed": row.seed,
        "outcome": row.outcome,
        "why": escaped(row.error or row.cause),
        "seconds": row.duration,
        "ended": row.ended,
        "attempts": row.attempts,
        "hosts": {escaped(name): escaped(str(host)) for name, host in row.hosts.items()},
        "metrics": {escaped(name): safe(value) for name, value in row.metrics.items()},
        "parameters": {escaped(n): safe(v) for n, v in row.parameters.items()},
    }
