"""A campaign: runs of one template over a space of parameters, carried out by the workers alone."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.campaign_records import CampaignRecord, Entry
from ..engine.campaigns import START, CampaignStore
from ..engine.redis_errors import contact
from ..errors import CampaignError, InvalidValue, NotAllowed, UnknownCampaign, WaitTimeout
from ..errors.text import quoted
from ..experiment.connect import Access
from ..model.durations import seconds
from ..model.names import check_name
from .definition import Definition, Segment
from .file_store import FileStore, StoredFile
from .kept_files import KeptFiles
from .metrics import Metric
from .plan import CampaignPlan
from .row import Row
from .space import Space, point_id
from .table import Table

if TYPE_CHECKING:
    from ..experiment.controller import ExperimentController
    from ..settings import Settings
    from .campaign_file import CampaignFile

PARALLEL = 8
"""Runs that are under way at the same time, if the plan does not say how many."""

PATIENCE = 5.0
"""Seconds without an entry in its history after which a campaign is looked at."""


class Campaign:
    """Runs of one template at all points of a space, carried out by the workers alone.

    The campaign is in Redis from :meth:`submit` on: the script may end, and any process may
    attach to it by its name. Methods may be called repeatedly, from several processes.

    Args:
        template: an experiment with :class:`.Parameter` values, or the path of a description file
            with places such as ``${rate}``, or what was read from it. The part ``campaign`` of a
            file is the plan.
        space: the points; those of the file by default.
        name: of the campaign; by default that of the experiment.
        repetitions: number of runs at each point; or ``{"min": 3, "max": 30}`` with ``stop``.
        stop: precisions of metrics at which a point needs no further run, such as
            ``{"metric": "delay", "within": "5%"}``; one or a list.
        seed: of the order of the points, and of the seeds of the runs.
        seeds: ``common`` for the same seeds at all points, or ``independent``.
        order: ``shuffled`` within blocks of one repetition of every point, or ``given``.
        parallel: how many runs may be under way.
        timeout: time limit of a run, ``"10m"`` or seconds; a run that exceeds it fails.
        metrics: values to read from each run, by name; see :class:`.Metric`.
        collect: files of each run to collect, by label of the resource: traces, paths in the run
            directory, directories or patterns, one or a list.
        keep: the runs whose files are collected: ``all``, ``failed`` or ``none``.
        directories: the runs whose directories stay on hosts: ``none``, ``failed`` or ``all``.
        on_failure: ``continue``, or ``pause`` to begin no run after a failed one.
        max_failures: number of failed runs at which the campaign pauses; None for no limit.
        settings: where Redis is; read from the environment by default.

    Attributes:
        name: its name.
        plan: its runs; None if it was attached to.

    Raises:
        InvalidValue: a value is invalid.
        DocumentError: all errors of the file.
    """

    def __init__(
        self,
        template: ExperimentController | CampaignFile | str | Path,
        space: Space | None = None,
        *,
        name: str = "",
        settings: Settings | None = None,
        **plan: Any,
    ) -> None:
        base, document, exp_id = _template(template)
        given = {key: value for key, value in plan.items() if value is not None}
        if "metrics" in given:
            given["metrics"] = {
                key: item.to_data() if isinstance(item, Metric) else item
                for key, item in given["metrics"].items()
            }
        if space is not None:
            given["space"] = space.to_document()
        described = CampaignPlan.of({**base, **given})
        self._set(check_name("name of a campaign", name or exp_id), settings)
        self.plan = described
        self._data = Definition.data(exp_id, document, described)

    plan: CampaignPlan | None
    _data: Mapping[str, Any]

    def _set(self, name: str, settings: Settings | None) -> None:
        self.name = name
        self.plan = None
        self._data = {}
        self._settings = settings
        self._access: Access | None = None

    @classmethod
    def attach(cls, name: str, *, settings: Settings | None = None) -> Campaign:
        """Return an existing campaign, from any process.

        Raises:
            UnknownCampaign: it does not exist.
        """
        made = cls.__new__(cls)
        made._set(name, settings)  # noqa: SLF001 - of this class
        made.status()
        return made

    # -- verbs --------------------------------------------------------------------------------

    def submit(self) -> Campaign:
        """Begin the campaign; return at once. One that was submitted before goes on.

        Raises:
            CampaignError: another campaign has this name, or there can be no files to collect.
            NepiqError: the first or the last run cannot be described.
        """
        if self.plan is None:
            raise NotAllowed("the campaign was submitted already", where=self.name)
        segment = Segment.data(self.plan)
        total = self._check(segment)
        digest = _digest([self._data, segment])
        most = 1 if self.plan.on_failure == "pause" else self.plan.max_failures or ""
        with contact():
            store = self._store()
            self._opened.backend.agree()
            status, _ = store.create(
                digest,
                self._data,
                parallel=self.plan.parallel or PARALLEL,
                max_failures=most,
                most_failures=most,
            )
            if status == "CLASH":
                raise CampaignError(
                    f"another campaign has the name {self.name!r}",
                    hint=f"choose another name=, or delete it: nepiq campaign rm {self.name}",
                )
            store.add(digest, 0, total, segment)
        return self

    def pause(self) -> None:
        """Begin no further run; those under way go on. :meth:`resume` continues."""
        self._change("pause")

    def resume(self) -> None:
        """Go on after :meth:`pause`, :meth:`stop`, :meth:`cancel`, or too many failures."""
        self._change("resume")

    def stop(self) -> None:
        """Begin no further run, and end once those under way have ended."""
        self._change("stop")

    def cancel(self) -> None:
        """Begin no further run, and release those under way, which do not count then."""
        self._change("cancel")

    def retry(self, cause: str = "") -> int:
        """Begin failed runs again; their rows are deleted.

        Args:
            cause: only those with this cause, as in their rows.

        Returns:
            The number of runs.
        """
        return self._change("retry", cause)

    def set(self, *, parallel: int) -> None:
        """Change how many runs may be under way."""
        _check_count("parallel", parallel)
        self._change("set", "parallel", parallel)

    def add(self, space: Space, repetitions: int = 1) -> int:
        """Add points; those that the campaign has already are left out.

        Args:
            space: the points.
            repetitions: number of runs at each of them.

        Returns:
            The number of runs added.
        """
        _check_count("repetitions", repetitions)
        with contact():
            while True:
                definition = self._read()
                known = {point for part in definition.segments for point in part.ids()}
                new = [point for point in space if point_id(point) not in known]
                if not new:
                    return 0
                chosen = space if len(new) == len(space) else Space.points(new)
                segment = Segment.data(CampaignPlan(chosen, repetitions))
                count = len(new) * repetitions
                number = len(definition.segments)
                status = self._store().add(_digest(segment), number, count, segment)
                if status != "CHANGED":
                    self._require(status)
                    return count

    def remove(self, *, files: bool = False) -> None:
        """Delete the campaign and its rows.

        Args:
            files: delete the collected files first, on the worker machines that keep them. Else
                they stay there, in the directory ``NEPIQ_RESULTS``.

        Raises:
            NotAllowed: runs are under way.
            CampaignError: a worker machine that keeps files has no worker. Nothing is deleted.
        """
        with contact():
            record = self.status()
            if record.active or record.phase == "running":
                raise NotAllowed(
                    f"campaign {self.name} is {record.phase}, {record.active} runs are under way",
                    hint=f"nepiq campaign cancel {self.name}",
                )
            if files:
                self._kept.discard(self.rows())
            self._store().remove()

    # -- looking ------------------------------------------------------------------------------

    def status(self) -> CampaignRecord:
        """Return how far the campaign is.

        Raises:
            UnknownCampaign: it does not exist.
        """
        with contact():
            record = self._store().record()
        if record is None:
            raise self._unknown()
        return record

    def active(self) -> list[str]:
        """Return the ids of the runs under way."""
        with contact():
            return sorted(self._store().active())

    def causes(self) -> dict[str, tuple[int, str]]:
        """Return the causes of failed runs: how many runs failed so, and the id of one of them."""
        counted: dict[str, tuple[int, str]] = {}
        with contact():
            for _, run_id, _, cause in self._store().failed():
                number, example = counted.get(cause, (0, run_id))
                counted[cause] = (number + 1, example)
        return dict(sorted(counted.items(), key=lambda item: -item[1][0]))

    def rows(self, *, follow: bool = False) -> Iterator[Row]:
        """Yield the row of each run that has ended, in the order in which they ended.

        Args:
            follow: wait for further ones until the campaign does nothing more.
        """
        for entry in self._entries(follow=follow):
            if entry.row:
                yield Row.from_json(entry.row)

    def files(self, run_id: str = "") -> Iterator[tuple[Row, list[StoredFile]]]:
        """Yield the rows of the runs that have collected files, with these.

        Args:
            run_id: only this run.

        Raises:
            CampaignError: the worker machine that keeps files has no worker.
        """
        rows = (row for row in self.rows() if not run_id or row.run_id == run_id)
        with contact():
            yield from self._kept.of(rows)

    def export(self, folder: str | Path, run_ids: Collection[str] = ()) -> FileStore:
        """Bring collected files to this machine, from the worker machines that keep them.

        Each content is stored once; what is here already is not sent again.

        Args:
            folder: the folder of the file store; it is created.
            run_ids: only these runs; all by default.

        Returns:
            The file store.

        Raises:
            CampaignError: a worker machine that keeps files has no worker, or has them no more.
            FileMissing: the folder cannot be written.
        """
        store = FileStore(folder)
        rows = (row for row in self.rows() if not run_ids or row.run_id in run_ids)
        with contact():
            self._kept.bring(rows, store)
        return store

    def table(self) -> Table:
        """Return the rows so far as a table, a record a run; see :class:`.Table`."""
        return Table.of_rows(self.rows)

    def wait(self, timeout: str | float | None = None) -> CampaignRecord:
        """Wait until the campaign does nothing more by itself, and return how far it is.

        It has finished then, was stopped or cancelled, or paused because of failures or of a full
        disk.

        Raises:
            WaitTimeout: it takes longer.
        """
        limit = None if timeout is None else seconds(timeout)
        with contact():
            last = self._store().last()
        for _ in self._entries(last, follow=True, timeout=limit):
            pass
        return self.status()

    def close(self) -> None:
        """Close the connections; the campaign goes on."""
        if self._access is not None:
            self._access.close()
            self._access = None

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside -------------------------------------------------------------------------------

    def _entries(
        self, after: str = START, *, follow: bool, timeout: float | None = None
    ) -> Iterator[Entry]:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            # Before the entries: those of its last change come after it.
            over = not follow or _is_over(self.status())
            left = PATIENCE if end is None else min(PATIENCE, end - time.monotonic())
            with contact():
                entries = self._store().history(after, 0.0 if over else max(0.001, left))
            yield from entries
            if entries:
                after = entries[-1].id
            elif over:
                return
            elif end is not None and time.monotonic() >= end:
                raise WaitTimeout(f"campaign {self.name} takes longer than {timeout:g} s")

    def _check(self, segment: Mapping[str, Any]) -> int:
        """Describe the first and the last run; return the number of runs."""
        definition = Definition(self.name, self._data, [segment])
        total = len(definition.segments[0])
        if not total:
            raise InvalidValue("the space has no points", where=self.name)
        for slot in {0, total - 1}:
            definition.arguments(slot)
            definition.check_files(slot)
        return total

    def _read(self) -> Definition:
        definition = Definition.read(self._store())
        if definition is None:
            raise self._unknown()
        return definition

    def _change(self, verb: str, *args: str | int) -> int:
        with contact():
            status, number = self._store().change(verb, *args)
        self._require(status)
        return number

    def _require(self, status: str) -> None:
        if status != "OK":
            raise self._unknown()

    def _unknown(self) -> UnknownCampaign:
        with contact():
            names = self._opened.backend.campaigns()
        return UnknownCampaign(self.name, names)

    @property
    def _opened(self) -> Access:
        if self._access is None:
            self._access = Access(self._settings)
        return self._access

    @property
    def _kept(self) -> KeptFiles:
        return KeptFiles(self._opened.backend, self.name)

    def _store(self) -> CampaignStore:
        return self._opened.backend.campaign(self.name)


def _is_over(record: CampaignRecord) -> bool:
    failed = record.phase == "paused" and record.why and (record.held or not record.active)
    return record.over or bool(failed)


def _template(
    template: ExperimentController | CampaignFile | str | Path,
) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    """Return the plan of a file, its description, and the name of the experiment."""
    from .campaign_file import CampaignFile, read

    if isinstance(template, (str, Path)):
        template = read(template)
    if isinstance(template, CampaignFile):
        return template.plan.to_document(), template.template.to_document(), template.exp_id
    document = json.loads(template.serialize("json"))
    return {}, document, template.exp_id


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValue(f"{name} cannot be {quoted(value)}", hint="choose 1 or more")
