"""The journal of a campaign: a file with its runs and their outcomes.

One JSON object a line, each of them synced to disk before the campaign goes on::

    {"campaign": 1, "exp_id": "delay", "resources": {"ping": "5f1c..."}}
    {"event": "began", "run": 1, "run_id": "2026...", "at": "2026-11-24T10:00:00+00:00"}
    {"event": "ended", "run_id": "2026...", "outcome": "finished", "metric": 10.2, ...}
    {"event": "released", "run_id": "2026...", ...}
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CampaignError

#: The name of the file in the folder of a campaign.
NAME = "campaign.jsonl"

VERSION = 1
"""Version of the file format."""

FINISHED, FAILED, INTERRUPTED = "finished", "failed", "interrupted"


@dataclass
class RunRecord:
    """One run of a campaign.

    Attributes:
        number: its number, counted from 1. The number of an interrupted run is used again.
        run_id: its id.
        outcome: ``finished``, ``failed`` or ``interrupted``; empty while it is active.
        metric: the measured value; None if it is not a sample.
        error: the reason of a failure, or empty.
        released: True once it has been released.
    """

    number: int
    run_id: str
    outcome: str = ""
    metric: float | None = None
    error: str = ""
    released: bool = False

    @property
    def counts(self) -> bool:
        """True if it has finished or failed."""
        return self.outcome in (FINISHED, FAILED)


class Journal:
    """The runs of a campaign, in the order in which they ended, active ones last.

    Args:
        folder: the directory of the file; None to write no file.
        exp_id: the name of the experiment.
        resources: a digest of the description of each resource, by label.

    Attributes:
        runs: the runs.

    Raises:
        CampaignError: the folder cannot be used, is in use, or has runs of another experiment.
    """

    def __init__(self, folder: Path | None, exp_id: str, resources: Mapping[str, str]) -> None:
        self.folder = folder
        self.runs: list[RunRecord] = []
        self._file: BinaryIO | None = None
        if folder is not None:
            head = {"campaign": VERSION, "exp_id": exp_id, "resources": dict(resources)}
            self._open(folder / NAME, head)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def began(self, number: int, run_id: str) -> RunRecord:
        """Record that a run has been created."""
        record = RunRecord(number, run_id)
        self.runs.append(record)
        self._write("began", record, run=number)
        return record

    def ended(
        self, record: RunRecord, outcome: str, metric: float | None = None, error: str = ""
    ) -> None:
        """Record that a run has ended; it is not yet released."""
        record.outcome, record.metric, record.error = outcome, metric, error
        self._order()
        self._write("ended", record, outcome=outcome, metric=metric, error=error)

    def released(self, record: RunRecord) -> None:
        """Record that a run has been released."""
        record.released = True
        self._write("released", record)

    def close(self) -> None:
        """Close the file, so that another process may write to it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- inside -------------------------------------------------------------------------------

    def _open(self, path: Path, head: Mapping[str, Any]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise CampaignError(
                "another process is running this campaign", where=str(path.parent)
            ) from None
        except OSError as error:
            self.close()
            raise CampaignError(
                f"cannot write the journal: {error.strerror}", where=str(path)
            ) from error
        try:
            self._load(path, head)
        except BaseException:
            self.close()
            raise

    def _order(self) -> None:
        """Move active runs behind the others."""
        self.runs.sort(key=lambda record: not record.outcome)

    def _write(self, event: str, record: RunRecord, **fields: Any) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self._append({"event": event, "run_id": record.run_id, **fields, "at": now})

    def _append(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _load(self, path: Path, head: Mapping[str, Any]) -> None:
        assert self._file is not None  # noqa: S101 - it has just been opened
        self._file.seek(0)
        data = self._file.read()
        complete_lines = data[: data.rfind(b"\n") + 1]
        if len(complete_lines) < len(data):
            # The process was killed while it wrote the last line.
            self._file.truncate(len(complete_lines))
        lines = complete_lines.splitlines()
        if not lines:
            self._append(head)
            return
        for number, line in enumerate(lines, 1):
            try:
                if number == 1:
                    _check_head(json.loads(line), head, path)
                else:
                    self._read(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
                raise CampaignError(
                    f"line {number} of the journal is invalid",
                    where=str(path),
                    hint="move the folder away to start a new campaign",
                ) from error
        self._order()

    def _read(self, line: Mapping[str, Any]) -> None:
        run_id, event = str(line["run_id"]), line["event"]
        if event == "began":
            self.runs.append(RunRecord(int(line["run"]), run_id))
            return
        # Search from the end, where active runs are.
        record = next(r for r in reversed(self.runs) if r.run_id == run_id)
        if event == "ended":
            record.outcome, record.metric = str(line["outcome"]), line["metric"]
            record.error = str(line["error"])
            # Keep the order in which runs ended.
            self.runs.remove(record)
            self.runs.append(record)
        elif event == "released":
            record.released = True


def _check_head(recorded: Mapping[str, Any], head: Mapping[str, Any], path: Path) -> None:
    """Raise an error if the first line belongs to another experiment than ``head``.

    Raises:
        CampaignError: it is the journal of another experiment, or of another version.
    """
    if recorded.get("campaign") != VERSION:
        raise CampaignError(f"not a campaign journal of version {VERSION}", where=str(path))
    if recorded["exp_id"] != head["exp_id"]:
        raise CampaignError(
            f"the folder has runs of experiment {recorded['exp_id']!r}, not {head['exp_id']!r}",
            where=str(path.parent),
            hint="choose another folder",
        )
    before, now = dict(recorded["resources"]), dict(head["resources"])
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if changed:
        more = ", ..." if len(changed) > 5 else ""
        raise CampaignError(
            "the folder has runs of a different description, changed: "
            + ", ".join(changed[:5])
            + more,
            where=str(path.parent),
            hint="choose another folder, or move this one away; use constants for values that "
            "change with each start of the script, such as free ports",
        )
