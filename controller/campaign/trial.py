"""One run of a campaign, carried out in a thread of its own."""

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
class Course:
    """What each run of a campaign does.

    Attributes:
        wait_guids: who must have ended; all but hosts if empty.
        rest: seconds between that and the measurement.
        timeout: seconds after which the run has failed; None for no limit.
        collect: traces by label of the resource.
        folder: where traces are collected to.
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
    ) -> Course:
        """The course that a user gave; see :meth:`ExperimentRunner.run`.

        Raises:
            UnknownResource: the experiment has no such resource.
            InvalidValue: a time is none, or traces have no folder to go to.
        """
        return cls(
            tuple(ec.find(guid) for guid in several(wait_guids)),
            seconds(wait_time),
            None if timeout is None else seconds(timeout),
            _traces(ec, collect, folder),
            folder,
        )


class Trial(threading.Thread):
    """Deploys, waits and rests; once it has been judged, releases.

    The thread alone uses the experiment, except between the moment it says that the run has
    ended and :meth:`judged`: then it is the caller's.

    Args:
        ec: the experiment of this run.
        record: the run in the journal.
        course: what it does.
        said: called in the thread when the run has ended, and when it is over.

    Attributes:
        failure: why the run failed; empty if it did not.
        error: what was raised that is no failure of the run, such as a lost Redis.
        over: True once it has been released, or could not be.
        judged: set once the run has been measured.
    """

    def __init__(
        self,
        ec: ExperimentController,
        record: RunRecord,
        course: Course,
        said: Callable[[Trial], object],
    ) -> None:
        super().__init__(name=f"nepiq-run-{record.run_id}", daemon=True)
        self.ec = ec
        self.record = record
        self.failure = ""
        self.error: BaseException | None = None
        self.over = False
        self.judged = threading.Event()
        self._course = course
        self._said = said
        self._broken_off = threading.Event()

    def run(self) -> None:
        """Carry it out."""
        try:
            self._carry_out()
        except (ExperimentFailed, WaitTimeout, TraceNotFound, HostError) as error:
            self._fail(str(error))
        except BaseException as error:  # noqa: BLE001 - the thread of the campaign raises it
            self.error = error
        self._said(self)
        self.judged.wait()
        try:
            self.ec.shutdown()
        except BaseException as error:  # noqa: BLE001 - as above
            self.error = self.error or error
        self.over = True
        self._said(self)

    def break_off(self) -> None:
        """Have the run end now: release it, as another client of it does."""
        self._broken_off.set()
        self.judged.set()
        with contextlib.suppress(NepiqError), self.ec.rejoin(self.record.run_id) as other:
            other.release()

    # -- inside -------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        course = self._course
        # On a run that was taken up again, this deploys what had not been deployed.
        self.ec.deploy()
        released = False
        try:
            done = self.ec.wait_finished(course.wait_guids or None, course.timeout)
        except ExperimentReleased:
            done = released = True
        if self._broken_off.is_set():
            return
        if done and not released:
            self._broken_off.wait(course.rest)
        phase = self.ec.phase
        if not done or phase == "FAILED":
            self.failure = "; ".join(map(str, self.ec.failures[:3])) or "it has failed"
        elif (released or phase != "RUNNING") and not self._broken_off.is_set():
            self._fail("somebody released it before it had been measured")
        self._collect()

    def _fail(self, why: str) -> None:
        self.failure = why
        if not self.ec.quiet:
            log.error("run %d failed: %s", self.record.number, why)

    def _collect(self) -> None:
        """Bring the traces here; of a run that failed, those that there are."""
        if self._course.folder is None or self._broken_off.is_set():
            return
        folder = self._course.folder / self.record.run_id
        for label, names in self._course.collect.items():
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
        raise InvalidValue("collect= needs folder=, to put the traces there")
    for target in collect:
        ec.find(target)
    return {
        target: (names,) if isinstance(names, str) else tuple(names)
        for target, names in collect.items()
    }
