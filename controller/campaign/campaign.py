"""A campaign: runs of one template over a space of parameters, carried out by the workers alone."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..engine.campaign_history import START
from ..engine.campaign_records import CampaignRecord, Entry, Repeated
from ..engine.campaigns import CampaignStore
from ..engine.redis_errors import contact
from ..errors import CampaignError, InvalidValue, NotAllowed, UnknownCampaign
from ..errors.text import quoted
from ..experiment.connect import Access
from ..model.durations import seconds
from ..model.names import check_name
from ..settings import Settings
from . import history
from .blueprint import Blueprint
from .definition import Definition
from .file_store import FileStore, StoredFile
from .health import Health
from .host_facts import HostFacts
from .kept_files import KeptFiles
from .measuring import Functions, Measuring, MetricFunction, StopFunction
from .metrics import Metric
from .plan import CampaignPlan
from .provenance import Provenance
from .row import Row
from .segment import Segment, further
from .space import Space, point_id
from .table import Table
from .time_left import Left, TimeLeft

if TYPE_CHECKING:
    from ..experiment.controller import ExperimentController
    from .build import Build, BuildFunction
    from .campaign_file import CampaignFile

log = logging.getLogger("nepiq.campaign")

#: A number of runs, and more about them.
_Counted = TypeVar("_Counted", bound=tuple[Any, ...])


class Campaign:
    """Runs of one template at all points of a space, carried out by the workers alone.

    The campaign is in Redis from :meth:`submit` on: the script may end, and any process may
    attach to it by its name. Methods may be called repeatedly, from several processes.

    Args:
        template: an experiment with :class:`.Parameter` values, or the path of a description file
            with places such as ``${rate}``, or what was read from it. The part ``campaign`` of a
            file is the plan. Or a function ``build(ec, **point)`` that registers the resources of
            a run in ``ec``, or its location ``module:function``. It also gets ``seed`` and
            ``repetition`` if it has such parameters: numbers if workers can import it, else
            places.
        space: the points; those of the file by default.
        added: further points: a list of mappings with ``space`` and ``repetitions``.
        name: of the campaign; by default that of the experiment.
        repetitions: number of runs at each point; or ``{"min": 3, "max": 30}`` with ``stop``.
        stop: precisions of metrics at which a point needs no further run, such as
            ``{"metric": "delay", "within": "5%"}``; one or a list. Or a function of the script that
            is called with the rows of the finished runs of a point, and returns True if they are
            enough.
        seed: of the order of the points, and of the seeds of the runs.
        seeds: ``common`` for the same seeds at all points, or ``independent``.
        order: ``shuffled`` within blocks of one repetition of every point, or ``given``.
        parallel: how many runs may be under way.
        priority: among campaigns that wait for hosts of a pool, -100 to 100; higher ones are first.
        timeout: time limit of a run, ``"10m"`` or seconds; a run that exceeds it fails.
        metrics: values to read from each run, by name; see :class:`.Metric`. A function of the
            script is called with the experiment of the run, in :meth:`wait` and :meth:`rows`.
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
        ClassNotImportable: the function at a location cannot be imported.
        DocumentError: all errors of the file.
    """

    def __init__(
        self,
        template: ExperimentController | CampaignFile | BuildFunction | str | Path,
        space: Space | None = None,
        *,
        name: str = "",
        settings: Settings | None = None,
        **plan: Any,
    ) -> None:
        if "build" in plan:
            raise InvalidValue("a build function is the first argument", where="build")
        made = Blueprint.of(template, name)
        self._folder = made.folder
        if made.module:  # the local worker imports what this process has imported
            settings = settings or Settings.from_environment()
            settings = replace(settings, imports=(*settings.imports, made.module))
        given = {key: value for key, value in plan.items() if value is not None}
        functions = Functions.of(given.get("metrics"), given.get("stop"))
        if "metrics" in given:
            given["metrics"] = {
                key: Metric.parse(item).to_data() for key, item in given["metrics"].items()
            }
        if space is not None:
            given["space"] = space.to_document()
        described = CampaignPlan.of({**made.plan, **given})
        self._set(check_name("name of a campaign", name or made.exp_id), settings, functions)
        self.plan = described
        self._data = Definition.data(made.exp_id, made.document, described, made.source)
        self._build = made.build

    plan: CampaignPlan | None
    _data: Mapping[str, Any]
    _folder: Path
    _build: Build | None

    def _set(self, name: str, settings: Settings | None, functions: Functions) -> None:
        self.name = name
        self.plan = None
        self._data = {}
        self._settings = settings
        self._access: Access | None = None
        self._functions = functions
        self._measuring: Measuring | None = None
        self._time_left: TimeLeft | None = None
        self._build = None

    @classmethod
    def attach(
        cls,
        name: str,
        *,
        metrics: Mapping[str, MetricFunction] | None = None,
        stop: StopFunction | None = None,
        settings: Settings | None = None,
    ) -> Campaign:
        """Return an existing campaign, from any process.

        Args:
            name: its name.
            metrics: its metrics that are functions of the script, by name.
            stop: its stopping rule, if that is a function of the script.
            settings: where Redis is; read from the environment by default.

        Raises:
            UnknownCampaign: it does not exist.
        """
        made = cls.__new__(cls)
        functions = Functions.of(metrics, stop)
        made._set(name, settings, functions)  # noqa: SLF001 - of this class
        made.status()
        return made

    # -- verbs --------------------------------------------------------------------------------

    def submit(self, *, reviewed: Collection[str] = ()) -> Campaign:
        """Begin the campaign; return at once. One that was submitted before goes on.

        Its provenance is kept with it: the git tree of the description file, or that of the
        current directory, with the changes that are not committed; and the installed packages.

        Args:
            reviewed: files, by their path in the tree, whose changes have no secrets although it
                looks like it.

        Raises:
            CampaignError: another campaign has this name, changes that are not committed have what
                looks like a secret, or there can be no files to collect.
            NepiqError: the first or the last run cannot be described.
        """
        if self.plan is None:
            raise NotAllowed("the campaign was submitted already", where=self.name)
        segment = self._segment(self.plan)
        total, places = self._check(self.plan, segment)
        digest = _digest([self._data, segment])
        document = self.plan.to_document()
        spaces = [segment, *document.pop("added", ())]
        provenance = Provenance.of(self._folder, document, [self._data, *spaces], reviewed)
        if provenance.tree is not None and provenance.tree.omitted:
            log.warning("campaign %s: no diff is kept: %s", self.name, provenance.tree.omitted)
        with contact():
            store = self._store()
            self._opened.backend.agree()
            limits = {**self.plan.limits, "places": 1} if places else self.plan.limits
            status, _ = store.create(digest, self._data, **limits)
            if status == "CLASH":
                raise CampaignError(
                    f"another campaign has the name {self.name!r}",
                    hint=f"choose another name, or delete it: nepiq campaign rm {self.name}",
                )
            store.note_provenance(provenance.to_data())
            store.add(digest, 0, total, segment)
        for space, repetitions in self.plan.added:
            self.add(space, repetitions)
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

    def set(
        self,
        *,
        parallel: int | None = None,
        repetitions: int | None = None,
        priority: int | None = None,
    ) -> None:
        """Change how many runs may be under way or the priority, or add repetitions.

        Args:
            parallel: how many runs may be under way.
            repetitions: number of runs at each point. Points with fewer have further ones; a
                campaign that has finished goes on.
            priority: of requests for hosts from now on, -100 to 100.
        """
        if priority is not None:
            self._change("set", "priority", CampaignPlan.of({"priority": priority}).priority)
        for name, value in (("parallel", parallel), ("repetitions", repetitions)):
            if value is not None:
                _check_count(name, value)
        if parallel is not None:
            self._change("set", "parallel", parallel)
        if repetitions is not None:
            self._repeat(repetitions)

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
                if any(part.built for part in definition.segments) and self._build is None:
                    raise NotAllowed(
                        "the points are described by a function of the script, which is not here",
                        where=self.name,
                        hint="add them to the campaign that the script has submitted",
                    )
                segment = self._segment(CampaignPlan(chosen, repetitions))
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
        return _most_frequent_first(counted)

    def repeats(self) -> dict[str, Repeated]:
        """Return the runs that were begun again by their causes: ``runs``, ``example``, ``hosts``.

        The hosts are those of pools that failed them.
        """
        with contact():
            return _most_frequent_first(self._store().repeated())

    def health(self) -> Health:
        """Return its hosts of pools: those in use, and the hosts and points in trouble."""
        with contact():
            store = self._store()
            leases = self._opened.backend.pools.leases_of(store.active())
            return Health.from_data(store.quarantine(), [lease.host for lease in leases])

    def left(self) -> Left | None:
        """Return the estimated time until it ends, and its range.

        None if fewer than three runs have ended, or it begins no runs now.

        Example:
            >>> print(campaign.left())
            about 12 min left (9 to 16)
        """
        record = self.status()
        with contact():
            store = self._store()
            known = self._time_left
            # A retry deletes rows; points or repetitions were added.
            if known is None or known.rows > record.done or known.total != record.total:
                self._time_left = known = TimeLeft.of(store, record)
            known.read(store)
        return known.until_end(record)

    def rows(self, *, follow: bool = False) -> Iterator[Row]:
        """Yield the row of each run that has ended, in the order in which they ended.

        Args:
            follow: wait for further ones until the campaign does nothing more. Functions of the
                script are called meanwhile.

        Raises:
            Exception: whatever a function of the script raises. The campaign goes on, and the run
                waits for the function.
        """
        found = self._follow(START) if follow else history.entries(self._store())
        for entry in found:
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

    def to_crate(
        self,
        path: str | Path,
        license: str,  # noqa: A002 - its name
        *,
        folder: str | Path | None = None,
        author: str = "",
        organization: str = "",
        version: str = "1.2",
        reviewed: Collection[str] = (),
        artifact: bool = False,
    ) -> Path:
        """Write an RO-Crate: a folder to publish, from which the campaign can be repeated.

        It has the rows so far, the description with all points, the provenance, the collected
        files and a README. Needs the extra ``crate``.

        Args:
            path: the folder, which must not exist.
            license: identifier of SPDX, or a URL.
            folder: where :meth:`export` has brought the collected files, or brings them now. The
                crate has hard links to its contents.
            author: ``Ada Lovelace <ada@example.org> 0000-0002-1825-0097``: name, address, ORCID iD.
                By default the name of who submitted the campaign.
            organization: name and URL of the author's organization.
            version: of RO-Crate: 1.1, 1.2 or 1.3.
            reviewed: files of the crate in which what looks like a secret is none.
            artifact: add a short run with its expected figures, for reviewers of artifacts.

        Raises:
            InvalidValue: a value is invalid.
            CampaignError: the folder exists, no run has ended, the description has what looks
                like a secret, or rocrate is not installed.
            FileMissing: the folder cannot be written.
        """
        from .crate.content import Content
        from .crate.terms import Terms
        from .crate.writer import write

        terms = Terms.parse(license, author, organization)
        with contact():
            content = Content.of(self, self._store(), folder)
            return write(content, path, terms, version, reviewed, artifact=artifact)

    def wait(self, timeout: str | float | None = None) -> CampaignRecord:
        """Wait until the campaign does nothing more by itself, and return how far it is.

        It has finished then, was stopped or cancelled, or paused because of failures or of a full
        disk. Functions of the script are called meanwhile.

        Raises:
            WaitTimeout: it takes longer.
            Exception: as of :meth:`rows`.
        """
        limit = None if timeout is None else seconds(timeout)
        with contact():
            last = self._store().last()
        for _ in self._follow(last, limit):
            pass
        return self.status()

    def provenance(self) -> Provenance | None:
        """Return the code and the environment that it was submitted from; None if unknown."""
        with contact():
            data = self._store().provenance()
        return None if data is None else Provenance.from_data(data)

    def hosts(self) -> list[HostFacts]:
        """Return the facts of the hosts of its runs, one record for each boot of a host."""
        with contact():
            return [HostFacts.from_data(data) for data in self._store().hosts()]

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

    def _follow(self, after: str, timeout: float | None = None) -> Iterator[Entry]:
        if self._functions and self._measuring is None:
            self._measuring = Measuring(self._opened, self._store(), self._functions)
        return history.follow(self._store(), self.status, self._measuring, after, timeout)

    def _segment(self, plan: CampaignPlan) -> dict[str, Any]:
        """Return the JSON values of the space of a plan, described if only the script can."""
        data = Segment.data(plan)
        if self._build is not None:
            data["built"] = self._build.expand(str(self._data["exp_id"]), plan.space)
        return data

    def _check(self, plan: CampaignPlan, segment: Mapping[str, Any]) -> tuple[int, bool]:
        """Describe the first and the last run; return how many there are, if hosts are leased."""
        definition = Definition(self.name, self._data, [segment])
        total = len(definition.segments[0])
        if not total:
            raise InvalidValue("the space has no points", where=self.name)
        for slot in {0, total - 1}:
            definition.arguments(slot)
            for (key, name), error in plan.unknown(definition.description(slot)):
                error.where = ", ".join(filter(None, (f"{key} {name}", error.where)))
                raise error
            definition.check_files(slot)
        places = any(definition.places(slot) for slot in (0, total - 1))
        return total, places

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

    def _repeat(self, repetitions: int) -> None:
        with contact():
            while True:
                definition = self._read()
                segment = further(definition.segments, repetitions)
                if segment is None:
                    return
                # Several processes may do this: the same segment is added once.
                number, count = len(definition.segments), len(Segment(segment))
                status = self._store().add(_digest(segment), number, count, segment)
                if status != "CHANGED":
                    self._require(status)

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


def _most_frequent_first(causes: dict[str, _Counted]) -> dict[str, _Counted]:
    return dict(sorted(causes.items(), key=lambda item: -item[1][0]))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValue(f"{name} cannot be {quoted(value)}", hint="choose 1 or more")
