"""Campaigns: repeated runs of one experiment, until the mean of a metric has converged."""

from __future__ import annotations

import contextlib
import logging
import statistics
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal

from ..description.roster import Target, Targets
from ..errors import ExperimentFailed, NotAllowed, UnknownRun
from ..experiment.announcement import announced
from . import statistics as statistic
from .journal import FAILED, FINISHED, INTERRUPTED, Journal, RunRecord
from .progress import Report, progress
from .stopping_rules import StoppingRules
from .trial import CampaignRun, RunPlan

if TYPE_CHECKING:
    from ..experiment.controller import ExperimentController
    from .stopping_rules import ConvergenceCallback, MetricCallback

log = logging.getLogger("nepiq.campaign")

#: Seconds that an interrupted campaign waits for the release of each run; workers finish the rest.
EXIT_SECONDS = 60.0


class ExperimentRunner:
    """A runner of campaigns: carries out one experiment repeatedly and keeps the samples.

    The samples may be read from other threads during :meth:`run`. A runner carries out one
    campaign at a time; several runners may share an experiment.

    Attributes:
        runs: the runs, in the order in which they ended; active ones last.

    Example:
        ::

            runner = ExperimentRunner()
            runner.run(ec, min_runs=5, max_runs=50, compute_metric_callback=delay)
            print(runner.mean, runner.interval)
    """

    def __init__(self) -> None:
        self.runs: list[RunRecord] = []
        self._busy = threading.Lock()

    @property
    def samples(self) -> list[float]:
        """The measured values of finished runs, in the order in which they ended."""
        return [record.metric for record in self.runs if record.metric is not None]

    @property
    def mean(self) -> float | None:
        """The mean of the samples; None if there are none."""
        samples = self.samples
        return statistics.fmean(samples) if samples else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean (Student's t); None below two samples."""
        return statistic.interval(self.samples)

    def run(  # noqa: PLR0913 - NEPI's signature, and ours
        self,
        ec: ExperimentController,
        min_runs: int = 1,
        max_runs: int | None = -1,
        wait_time: str | float = 0,
        wait_guids: Targets = (),
        compute_metric_callback: MetricCallback | None = None,
        evaluate_convergence_callback: ConvergenceCallback | None = None,
        *,
        parallel: int = 1,
        folder: str | Path | None = None,
        collect: Mapping[Target, str | Sequence[str]] | None = None,
        timeout: str | float | None = None,
        on_failure: Literal["stop", "continue"] = "stop",
    ) -> int:
        """Carry out an experiment repeatedly.

        Each run is an experiment of its own, with the same name, guids and labels. It is
        deployed, waited for, measured and released before the next one begins. ``ec`` itself is
        only the description: it is not deployed.

        Args:
            ec: the experiment.
            min_runs: minimum number of finished runs, unless ``max_runs`` is reached first.
            max_runs: maximum number of runs, failed ones included; -1 or None for no limit.
            wait_time: rest between the end of a run and its measurement, ``"5s"`` or seconds.
            wait_guids: the resources whose end is the end of a run; all but hosts by default.
            compute_metric_callback: called with the experiment of the run and its number,
                counted from 1, before the release; returns the measured value, or None if the
                run is not a sample.
            evaluate_convergence_callback: called after each finished run from the ``min_runs``-th
                on, with the same arguments and the samples so far; returns True to stop. By
                default, twice the standard error must be at most 5 % of the mean.
            parallel: number of runs at the same time. Callbacks are called one at a time, in the
                order in which runs end. After convergence, active runs still end and count.
            folder: a directory for the journal and the traces. If it has a journal, the campaign
                is resumed: runs in the journal count, and a run that was active when the process
                was killed is continued.
            collect: traces to copy to ``<folder>/<run id>/<label>.<trace>``, by label.
            timeout: time limit of a run, ``"10m"`` or seconds; a run that exceeds it fails.
            on_failure: ``"stop"`` to raise the failure of a run after active runs have ended;
                ``"continue"`` to begin the next one.

        Returns:
            The number of runs, including failed ones and those in the journal.

        Raises:
            CampaignError: the campaign would never stop, or the folder cannot be used.
            InvalidValue: a number is invalid.
            NotAllowed: this runner carries out a campaign in another thread.
            ExperimentFailed: a run failed, and ``on_failure`` is ``"stop"``.
            NepiqError: a run cannot be carried out, for example because Redis is unreachable.
                Active runs are released then, as after an error of a callback.
        """
        rules = StoppingRules.of(
            min_runs,
            max_runs,
            compute_metric_callback,
            evaluate_convergence_callback,
            parallel,
            on_failure,
        )
        path = None if folder is None else Path(folder)
        plan = RunPlan.of(ec, wait_guids, wait_time, timeout, collect or {}, path)
        # A copy, so that changes by the caller during the campaign affect no run.
        copy = ec.again()
        with self._exclusive(), Journal(path, copy.exp_id, copy.digests()) as journal:
            self.runs = journal.runs
            live = not (ec.quiet or announced())
            with progress(ec.exp_id, rules.max_runs, live=live) as report:
                return _Campaign(self, copy, rules, plan, journal, report).carry_out()

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise NotAllowed(
                "this runner already carries out a campaign",
                hint="create another ExperimentRunner for another campaign",
            )
        try:
            yield
        finally:
            self._busy.release()


class _Campaign:
    """One call of :meth:`ExperimentRunner.run`, with its active runs."""

    def __init__(
        self,
        runner: ExperimentRunner,
        ec: ExperimentController,
        rules: StoppingRules,
        plan: RunPlan,
        journal: Journal,
        report: Report,
    ) -> None:
        self._runner = runner
        self._ec = ec
        self._rules = rules
        self._plan = plan
        self._journal = journal
        self._progress = report
        self._notifications: SimpleQueue[CampaignRun] = SimpleQueue()
        self._active: list[CampaignRun] = []
        self._enough = False
        self._failure = ""

    def carry_out(self) -> int:
        """Begin runs and measure ended ones until a stopping rule applies; return their number."""
        try:
            if self._journal.runs:
                self._report(f"resuming the campaign in {self._journal.folder}")
                self._resume()
            while True:
                while self._may_begin():
                    self._begin(self._ec.again())
                if not self._active:
                    break
                self._process(self._notifications.get())
        except BaseException:
            self._abort()
            raise
        if self._failure:
            raise ExperimentFailed(
                self._failure,
                hint="the runs before it are kept" if self._journal.folder else "",
            )
        return sum(record.counts for record in self._journal.runs)

    def _may_begin(self) -> bool:
        """Return whether another run may begin now."""
        if self._enough or self._failure or len(self._active) >= self._rules.parallel:
            return False
        count = sum(record.outcome != INTERRUPTED for record in self._journal.runs)
        return self._rules.max_runs is None or count < self._rules.max_runs

    def _begin(self, ec: ExperimentController, record: RunRecord | None = None) -> None:
        if record is None:
            numbers = {item.number for item in self._journal.runs if item.outcome != INTERRUPTED}
            number = next(n for n in range(1, len(numbers) + 2) if n not in numbers)
            record = self._journal.began(number, ec.run_id)
        run = CampaignRun(ec, record, self._plan, self._notifications.put)
        self._active.append(run)
        run.start()

    def _process(self, run: CampaignRun) -> None:
        """Measure a run that has ended, or remove one that has been released."""
        if run.error is not None:
            raise run.error
        if run.over:
            self._active.remove(run)
            self._journal.released(run.record)
            return
        number = run.record.number
        if run.failure:
            self._journal.ended(run.record, FAILED, error=run.failure)
            if self._rules.stop_at_failure:
                self._failure = (
                    self._failure or f"run {number} ({run.record.run_id}): {run.failure}"
                )
        else:
            metric = self._rules.measure(run.ec, number)
            self._journal.ended(run.record, FINISHED, metric)
            self._decide(run.ec, run.record)
        self._report(f"run {number} {run.record.outcome}{_metric_text(run.record.metric)}")
        run.measured.set()

    def _decide(self, ec: ExperimentController, record: RunRecord) -> None:
        """Begin no further run if the samples suffice."""
        finished = sum(item.outcome == FINISHED for item in self._journal.runs)
        criterion = self._rules.metric or self._rules.convergence
        if criterion and finished >= self._rules.min_runs:
            self._enough |= self._rules.converged(ec, record.number, self._runner.samples)

    def _report(self, message: str) -> None:
        done = sum(record.counts for record in self._journal.runs)
        self._progress(message, done, self._runner.samples)

    # -- recovery after a killed process ------------------------------------------------------

    def _resume(self) -> None:
        """Continue runs that were active, and release those that had ended."""
        unreleased = [record for record in self._journal.runs if not record.released]
        self._decide_again()
        for record in unreleased:
            try:
                ec = self._ec.rejoin(record.run_id)
            except UnknownRun:
                log.warning("run %s no longer exists; nothing is released", record.run_id)
                self._record_interrupted(record)
                continue
            complete = {*self._ec.resources} <= {*ec.resources}
            if not record.outcome and complete and ec.phase in ("RUNNING", "FAILED"):
                log.info("run %d is continued: %s", record.number, record.run_id)
                self._begin(ec, record)
                continue
            ec.shutdown()
            self._record_interrupted(record)

    def _decide_again(self) -> None:
        """Repeat the decision after the last finished run, which may not have been made."""
        finished = [record for record in self._journal.runs if record.outcome == FINISHED]
        if not finished:
            return
        if self._rules.convergence is None:
            self._decide(self._ec, finished[-1])
            return
        # If its records have expired, the next run decides.
        with contextlib.suppress(UnknownRun), self._ec.rejoin(finished[-1].run_id) as ec:
            self._decide(ec, finished[-1])

    def _record_interrupted(self, record: RunRecord) -> None:
        if not record.outcome:
            self._journal.ended(record, INTERRUPTED)
        self._journal.released(record)

    def _abort(self) -> None:
        """Release the active runs; a further ctrl-C leaves that to the workers."""
        alive = [run for run in self._active if run.is_alive()]
        if alive and not self._ec.quiet:
            noun = "run" if len(alive) == 1 else "runs"
            print(  # noqa: T201 - for the user who interrupted the campaign
                f"releasing {len(alive)} {noun} (ctrl-C again: do not wait for it)",
                file=sys.stderr,
            )
        for run in alive:
            threading.Thread(target=run.abort, name="nepiq-abort", daemon=True).start()
        try:
            for run in alive:
                run.join(EXIT_SECONDS)
        except KeyboardInterrupt:
            # The releases have been requested; the exit does not wait for them either.
            for run in alive:
                run.ec.detach()
            raise
        finally:
            self._record_aborted()

    def _record_aborted(self) -> None:
        for run in self._active:
            with contextlib.suppress(OSError):
                if not run.record.outcome:
                    self._journal.ended(run.record, INTERRUPTED)
                if run.over and run.error is None:
                    self._journal.released(run.record)


def _metric_text(metric: float | None) -> str:
    return "" if metric is None else f", {metric:.6g}"
