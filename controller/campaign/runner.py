"""Many runs of one experiment, until the mean of what they measure is known well enough."""

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
from .progress import Said, progress
from .stopping_rules import Rules
from .trial import Course, Trial

if TYPE_CHECKING:
    from ..experiment.controller import ExperimentController
    from .stopping_rules import ConvergenceCallback, MetricCallback

log = logging.getLogger("nepiq.campaign")

#: Seconds that an interrupted campaign waits for each run to be released; the workers go on.
EXIT_SECONDS = 60.0


class ExperimentRunner:
    """Carries one experiment out many times, and keeps what each run measured.

    What has been measured may be read from several threads while :meth:`run` goes on. A runner
    carries out one campaign at a time; several of them may share an experiment.

    Attributes:
        runs: the runs, in the order in which they ended; those under way last.

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
        """What the runs that finished have measured, in the order in which they ended."""
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
        """Carry an experiment out again and again.

        Each run is an experiment of its own, with the same name, guids and labels. It is
        deployed, waited for, measured and released before the next one begins. ``ec`` itself is
        only the description: it is not deployed.

        Args:
            ec: the experiment.
            min_runs: at least so many runs finish, unless ``max_runs`` comes first.
            max_runs: never begin more than that, failed ones included; -1 or None for no limit.
            wait_time: rest between the end of a run and its measurement, ``"5s"`` or seconds.
            wait_guids: the resources whose end is the end of a run; all but hosts by default.
            compute_metric_callback: called with the experiment of the run and its number, from
                1 on, before it is released; returns what was measured, or None if the run is
                no sample.
            evaluate_convergence_callback: called after each run that finished, from the
                ``min_runs``-th on, with the same and the samples so far; True stops. By default,
                twice the standard error must be at most 5 % of the mean.
            parallel: so many runs at a time. Callbacks are called one at a time, in the order in
                which runs end. When the samples have converged, those under way still end and
                count.
            folder: a directory for the journal of the runs and the traces. If it has a journal,
                the campaign is gone on with: runs that are in it count, and one that was under
                way when the process was killed is taken up again.
            collect: traces that are copied to ``<folder>/<run id>/<label>.<trace>``, by label.
            timeout: a run that takes longer has failed, ``"10m"`` or seconds.
            on_failure: ``"stop"`` to raise what a run failed of, after those under way have
                ended; ``"continue"`` to begin the next one.

        Returns:
            How many runs there are, failed ones and those in the journal included.

        Raises:
            CampaignError: nothing would ever stop it, or the folder cannot be used.
            InvalidValue: a number is not possible.
            NotAllowed: another thread has this runner carry out a campaign.
            ExperimentFailed: a run failed, and ``on_failure`` is ``"stop"``.
            NepiqError: a run cannot be carried out, for instance because Redis is away. Those
                under way are released, as after anything that a callback raises.
        """
        rules = Rules.of(
            min_runs,
            max_runs,
            compute_metric_callback,
            evaluate_convergence_callback,
            parallel,
            on_failure,
        )
        place = None if folder is None else Path(folder)
        course = Course.of(ec, wait_guids, wait_time, timeout, collect or {}, place)
        # What the caller changes meanwhile changes no run.
        plain = ec.again()
        with self._alone(), Journal(place, plain.exp_id, plain.digests()) as journal:
            self.runs = journal.runs
            live = not (ec.quiet or announced())
            with progress(ec.exp_id, rules.max_runs, live=live) as said:
                return _Campaign(self, plain, rules, course, journal, said).carry_out()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise NotAllowed(
                "this runner carries out a campaign already",
                hint="make another ExperimentRunner for another campaign",
            )
        try:
            yield
        finally:
            self._busy.release()


class _Campaign:
    """The runs under way of one call."""

    def __init__(
        self,
        runner: ExperimentRunner,
        ec: ExperimentController,
        rules: Rules,
        course: Course,
        journal: Journal,
        said: Said,
    ) -> None:
        self._runner = runner
        self._ec = ec
        self._rules = rules
        self._course = course
        self._journal = journal
        self._said = said
        self._news: SimpleQueue[Trial] = SimpleQueue()
        self._active: list[Trial] = []
        self._enough = False
        self._failure = ""

    def carry_out(self) -> int:
        """Begin runs and judge those that have ended, until there are enough."""
        try:
            if self._journal.runs:
                self._tell(f"going on with the runs in {self._journal.folder}")
                self._take_up()
            while True:
                while self._wanted():
                    self._begin(self._ec.again())
                if not self._active:
                    break
                self._listen(self._news.get())
        except BaseException:
            self._break_off()
            raise
        if self._failure:
            raise ExperimentFailed(
                self._failure,
                hint="the runs before it are kept" if self._journal.folder else "",
            )
        return sum(record.counts for record in self._journal.runs)

    def _wanted(self) -> bool:
        """True if another run is to begin now."""
        if self._enough or self._failure or len(self._active) >= self._rules.parallel:
            return False
        begun = sum(record.outcome != INTERRUPTED for record in self._journal.runs)
        return self._rules.max_runs is None or begun < self._rules.max_runs

    def _begin(self, ec: ExperimentController, record: RunRecord | None = None) -> None:
        if record is None:
            taken = {item.number for item in self._journal.runs if item.outcome != INTERRUPTED}
            number = next(n for n in range(1, len(taken) + 2) if n not in taken)
            record = self._journal.began(number, ec.run_id)
        trial = Trial(ec, record, self._course, self._news.put)
        self._active.append(trial)
        trial.start()

    def _listen(self, trial: Trial) -> None:
        """Judge a run that has ended, or let go of one that is over."""
        if trial.error is not None:
            raise trial.error
        if trial.over:
            self._active.remove(trial)
            self._journal.released(trial.record)
            return
        number = trial.record.number
        if trial.failure:
            self._journal.ended(trial.record, FAILED, error=trial.failure)
            if self._rules.stop_at_failure:
                self._failure = (
                    self._failure or f"run {number} ({trial.record.run_id}): {trial.failure}"
                )
        else:
            metric = self._rules.measured(trial.ec, number)
            self._journal.ended(trial.record, FINISHED, metric)
            self._decide(trial.ec, trial.record)
        self._tell(f"run {number} {trial.record.outcome}{_shown(trial.record.metric)}")
        trial.judged.set()

    def _decide(self, ec: ExperimentController, record: RunRecord) -> None:
        """Stop if the samples suffice."""
        finished = sum(item.outcome == FINISHED for item in self._journal.runs)
        asked = self._rules.metric or self._rules.convergence
        if asked and finished >= self._rules.min_runs:
            self._enough |= self._rules.converged(ec, record.number, self._runner.samples)

    def _tell(self, what: str) -> None:
        done = sum(record.counts for record in self._journal.runs)
        self._said(what, done, self._runner.samples)

    # -- what a killed process has left -------------------------------------------------------

    def _take_up(self) -> None:
        """Go on with runs that were under way, and release those that had ended."""
        left = [record for record in self._journal.runs if not record.released]
        self._decide_again()
        for record in left:
            try:
                ec = self._ec.rejoin(record.run_id)
            except UnknownRun:
                log.warning("run %s is not known any more; nothing is released", record.run_id)
                self._interrupted(record)
                continue
            whole = {*self._ec.resources} <= {*ec.resources}
            if not record.outcome and whole and ec.phase in ("RUNNING", "FAILED"):
                log.info("run %d is taken up again: %s", record.number, record.run_id)
                self._begin(ec, record)
                continue
            ec.shutdown()
            self._interrupted(record)

    def _decide_again(self) -> None:
        """Decide what the killed process would have decided after the last run that finished."""
        done = [record for record in self._journal.runs if record.outcome == FINISHED]
        if not done:
            return
        if self._rules.convergence is None:
            self._decide(self._ec, done[-1])
            return
        # Its records may have expired; then one run more decides.
        with contextlib.suppress(UnknownRun), self._ec.rejoin(done[-1].run_id) as ec:
            self._decide(ec, done[-1])

    def _interrupted(self, record: RunRecord) -> None:
        if not record.outcome:
            self._journal.ended(record, INTERRUPTED)
        self._journal.released(record)

    def _break_off(self) -> None:
        """Release the runs under way; a further ctrl-C leaves that to the workers."""
        left = [trial for trial in self._active if trial.is_alive()]
        if left and not self._ec.quiet:
            runs = "run" if len(left) == 1 else "runs"
            print(  # noqa: T201 - said to whoever interrupted it
                f"releasing {len(left)} {runs} (ctrl-C again: do not wait for it)",
                file=sys.stderr,
            )
        for trial in left:
            threading.Thread(target=trial.break_off, name="nepiq-break-off", daemon=True).start()
        try:
            for trial in left:
                trial.join(EXIT_SECONDS)
        except KeyboardInterrupt:
            # The workers have been asked to release them; the exit does not wait for it either.
            for trial in left:
                trial.ec.detach()
            raise
        finally:
            self._note_broken_off()

    def _note_broken_off(self) -> None:
        for trial in self._active:
            with contextlib.suppress(OSError):
                if not trial.record.outcome:
                    self._journal.ended(trial.record, INTERRUPTED)
                if trial.over and trial.error is None:
                    self._journal.released(trial.record)


def _shown(metric: float | None) -> str:
    return "" if metric is None else f", {metric:.6g}"
