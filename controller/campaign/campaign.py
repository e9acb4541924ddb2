"""A campaign: runs of one template over a space of parameters, carried out by the workers alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.campaign_records import CampaignRecord, Repeated
from ..engine.redis_errors import contact
from ..errors import InvalidValue, NotAllowed
from ..model.durations import seconds
from ..settings import Settings
from .blueprint import Blueprint
from .campaign_link import CampaignLink
from .causes import counted, most_frequent_first
from .file_store import FileStore, StoredFile
from .further_runs import add_points, add_repetitions, check_count
from .health import Health
from .history import History
from .host_facts import HostFacts
from .kept_files import KeptFiles
from .measuring import Functions, MetricFunction, StopFunction
from .plan import CampaignPlan
from .provenance import Provenance
from .row import Row
from .space import Space
from .submission import Submission
from .table import Table
from .time_left import Left, TimeLeft

if TYPE_CHECKING:
    from ..experiment.controller import ExperimentController
    from .build import BuildFunction
    from .campaign_file import CampaignFile


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
        given = {key: value for key, value in plan.items() if value is not None}
        functions = Functions.of(given.get("metrics"), given.get("stop"))
        submission = Submission.of(Blueprint.of(template, name), space, given, name)
        self._open(submission.name, submission.settings(settings), functions, submission)

    def _open(
        self,
        name: str,
        settings: Settings | None,
        functions: Functions,
        submission: Submission | None = None,
    ) -> None:
        self.name = name
        self.plan = None if submission is None else submission.plan
        self._submission = submission
        self._link = CampaignLink(name, settings)
        self._history = History(self._link, functions)
        self._time_left: TimeLeft | None = None

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
        made._open(name, settings, Functions.of(metrics, stop))  # noqa: SLF001 - of this class
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
        if self._submission is None:
            raise NotAllowed("the campaign was submitted already", where=self.name)
        self._submission.enter(self._link, reviewed)
        for space, repetitions in self._submission.plan.added:
            self.add(space, repetitions)
        return self

    def pause(self) -> None:
        """Begin no further run; those under way go on. :meth:`resume` continues."""
        self._link.change("pause")

    def resume(self) -> None:
        """Go on after :meth:`pause`, :meth:`stop`, :meth:`cancel`, or too many failures."""
        self._link.change("resume")

    def stop(self) -> None:
        """Begin no further run, and end once those under way have ended."""
        self._link.change("stop")

    def cancel(self) -> None:
        """Begin no further run, and release those under way, which do not count then."""
        self._link.change("cancel")

    def retry(self, cause: str = "") -> int:
        """Begin failed runs again; their rows are deleted.

        Args:
            cause: only those with this cause, as in their rows.

        Returns:
            The number of runs.
        """
        return self._link.change("retry", cause)

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
            self._link.change("set", "priority", CampaignPlan.of({"priority": priority}).priority)
        for name, value in (("parallel", parallel), ("repetitions", repetitions)):
            if value is not None:
                check_count(name, value)
        if parallel is not None:
            self._link.change("set", "parallel", parallel)
        if repetitions is not None:
            add_repetitions(self._link, repetitions)

    def add(self, space: Space, repetitions: int = 1) -> int:
        """Add points; those that the campaign has already are left out.

        Args:
            space: the points.
            repetitions: number of runs at each of them.

        Returns:
            The number of runs added.
        """
        build = None if self._submission is None else self._submission.build
        return add_points(self._link, space, repetitions, build)

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
            self._link.require_idle()
            if files:
                self._kept.discard(self.rows())
            self._link.store.remove()

    # -- looking ------------------------------------------------------------------------------

    def status(self) -> CampaignRecord:
        """Return how far the campaign is.

        Raises:
            UnknownCampaign: it does not exist.
        """
        return self._link.record()

    def active(self) -> list[str]:
        """Return the ids of the runs under way."""
        with contact():
            return sorted(self._link.store.active())

    def causes(self) -> dict[str, tuple[int, str]]:
        """Return the causes of failed runs: how many runs failed so, and the id of one of them."""
        with contact():
            return counted((cause, run) for _, run, _, cause in self._link.store.failed())

    def repeats(self) -> dict[str, Repeated]:
        """Return the runs that were begun again by their causes: ``runs``, ``example``, ``hosts``.

        The hosts are those of pools that failed them.
        """
        with contact():
            return most_frequent_first(self._link.store.repeated())

    def health(self) -> Health:
        """Return its hosts of pools: those in use, and the hosts and points in trouble."""
        with contact():
            return Health.of(self._link.store, self._link.backend.pools)

    def left(self) -> Left | None:
        """Return the estimated time until it ends, and its range.

        None if fewer than three runs have ended, or it begins no runs now.

        Example:
            >>> print(campaign.left())
            about 12 min left (9 to 16)
        """
        record = self.status()
        with contact():
            self._time_left = TimeLeft.at(record, self._link.store, self._time_left)
        return self._time_left.until_end(record)

    def rows(self, *, follow: bool = False) -> Iterator[Row]:
        """Yield the row of each run that has ended, in the order in which they ended.

        Args:
            follow: wait for further ones until the campaign does nothing more. Functions of the
                script are called meanwhile.

        Raises:
            Exception: whatever a function of the script raises. The campaign goes on, and the run
                waits for the function.
        """
        return self._history.rows(follow=follow)

    def files(self, run_id: str = "") -> Iterator[tuple[Row, list[StoredFile]]]:
        """Yield the rows of the runs that have collected files, with these.

        Args:
            run_id: only this run.

        Raises:
            CampaignError: the worker machine that keeps files has no worker.
        """
        with contact():
            yield from self._kept.of(self._history.rows([run_id] if run_id else ()))

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
        with contact():
            self._kept.bring(self._history.rows(run_ids), store)
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
            content = Content.of(self, self._link.store, folder)
            return write(content, path, terms, version, reviewed, artifact=artifact)

    def wait(self, timeout: str | float | None = None) -> CampaignRecord:
        """Wait until the campaign does nothing more by itself, and return how far it is.

        It has finished then, was stopped or cancelled, or paused because of failures or of a full
        disk. Functions of the script are called meanwhile.

        Raises:
            WaitTimeout: it takes longer.
            Exception: as of :meth:`rows`.
        """
        self._history.wait(None if timeout is None else seconds(timeout))
        return self.status()

    def provenance(self) -> Provenance | None:
        """Return the code and the environment that it was submitted from; None if unknown."""
        with contact():
            data = self._link.store.provenance()
        return None if data is None else Provenance.from_data(data)

    def hosts(self) -> list[HostFacts]:
        """Return the facts of the hosts of its runs, one record for each boot of a host."""
        with contact():
            return [HostFacts.from_data(data) for data in self._link.store.hosts()]

    def close(self) -> None:
        """Close the connections; the campaign goes on."""
        self._link.close()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _kept(self) -> KeptFiles:
        return KeptFiles(self._link.backend, self.name)
