"""One run of a campaign, in a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..description.roster import several
from ..errors import (
    ExperimentFailed,
    ExperimentReleased,
    HostError,
    InvalidValue,
    NepiqError,
    TraceNotFound,
    WaitTimeout,
)
from ..model.durations import seconds

if TYPE_CHECKING:
    from ..description.roster import Target, Targets
    from ..experiment.controller import ExperimentController
    from .journal import RunRecord


log = logging.getLogger("nepiq.campaign")


@dataclass(frozen=True)
class RunPlan:
    """The plan that all runs of a campaign follow.

    Attributes:
        wait_guids: the resources whose end is waited for; all but hosts if empty.
        rest: seconds between their end and the measurement.
        timeout: seconds after which the run fails; None for no limit.
        collect: traces to copy, by label of the resource.
        folder: the directory for the traces.
    """

    wait_guids: tuple[Target, ...] = ()
    rest: float = 0.0
    timeout: float | None = None
    collect: Mapping[Target, Sequence[str]] = field(default_factory=dict)
    folder: Path | None = None

    @classmethod
    def of(
        cls,
        ec: ExperimentController,
        wait_guids: Targets,
        wait_time: str | float,
        timeout: str | float | None,
        collect: Mapping[Target, str | Sequence[str]],
        folder: Path | None,
    ) -> RunPlan:
        """Return the plan from the arguments of :meth:`ExperimentRunner.run`.

        Raises:
            UnknownResource: the experiment has no such resource.
            InvalidValue: a duration is invalid, or ``collect`` has no folder.
        """
        return cls(
            tuple(ec.find(guid) for guid in several(wait_guids)),
            seconds(wait_time),
            None if timeout is None else seconds(timeout),
            _traces(ec, collect, folder),
            folder,
        )


class CampaignRun(threading.Thread):
    """One run of a campaign: deploys, waits and rests; releases after the measurement.

    The thread alone uses the experiment, except between the first notification and ``measured``:
    then the campaign uses it.

    Args:
        ec: the experiment of this run.
        record: the run in the journal.
        plan: the plan of the run.
        notify: called in the thread when the run has ended, and again after its release.

    Attributes:
        failure: the reason why the run failed, or empty.
        error: an error that is not a failure of the run, such as a lost Redis, or None.
        over: True after its release, even if that failed.
        measured: event, set once the run has been measured.
    """

    def __init__(
        self,
        ec: ExperimentController,
        record: RunRecord,
        plan: RunPlan,
        notify: Callable[[CampaignRun], object],
    ) -> None:
        super().__init__(name=f"nepiq-run-{record.run_id}", daemon=True)
        self.ec = ec
        self.record = record
        self.failure = ""
        self.error: BaseException | None = None
        self.over = False
        self.measured = threading.Event()
        self._plan = plan
        self._notify = notify
        self._aborted = threading.Event()

    def run(self) -> None:
        """Carry out and release the run."""
        try:
            self._carry_out()
        except (ExperimentFailed, WaitTimeout, TraceNotFound, HostError) as error:
            self._fail(str(error))
        except BaseException as error:  # noqa: BLE001 - the thread of the campaign raises it
            self.error = error
        self._notify(self)
        self.measured.wait()
        try:
            self.ec.shutdown()
        except BaseException as error:  # noqa: BLE001 - as above
            self.error = self.error or error
        self.over = True
        self._notify(self)

    def abort(self) -> None:
        """Release the run now, through a second client."""
        self._aborted.set()
        self.measured.set()
        with contextlib.suppress(NepiqError), self.ec.rejoin(self.record.run_id) as other:
            other.release()

    # -- inside -------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        plan = self._plan
        # For a resumed run, this deploys the resources that were not deployed yet.
        self.ec.deploy()
        released = False
        try:
            done = self.ec.wait_finished(plan.wait_guids or None, plan.timeout)
        except ExperimentReleased:
            done = released = True
        if self._aborted.is_set():
            return
        if done and not released:
            self._aborted.wait(plan.rest)
        phase = self.ec.phase
        if not done or phase == "FAILED":
            self.failure = "; ".join(map(str, self.ec.failures[:3])) or "the run has failed"
        elif (released or phase != "RUNNING") and not self._aborted.is_set():
            self._fail("another client released the run before its measurement")
        self._collect()

    def _fail(self, reason: str) -> None:
        self.failure = reason
        if not self.ec.quiet:
            log.error("run %d failed: %s", self.record.number, reason)

    def _collect(self) -> None:
        """Copy the traces to the folder; of a failed run, those that exist."""
        if self._plan.folder is None or self._aborted.is_set():
            return
        folder = self._plan.folder / self.record.run_id
        for label, names in self._plan.collect.items():
            for name in names:
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    self.ec.download(label, name, folder / f"{label}.{name.replace('/', '-')}")
                except NepiqError:
                    if not self.failure:
                        raise


def _traces(
    ec: ExperimentController, collect: Mapping[Target, str | Sequence[str]], folder: Path | None
) -> dict[Target, Sequence[str]]:
    if collect and folder is None:
        raise InvalidValue("collect= needs folder=, the directory for the traces")
    for target in collect:
        ec.find(target)
    return {
        target: (names,) if isinstance(names, str) else tuple(names)
        for target, names in collect.items()
    }
