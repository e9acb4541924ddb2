"""The part of an experiment's face that waits."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from ..description.roster import Targets
from ..model.durations import seconds
from ..model.lifecycle import State
from . import waiting
from .announcement import announced
from .describing import Describing

log = logging.getLogger("nepiq.experiment")


class Awaiting(Describing):
    """What scripts call to wait for resources; an interrupt leaves the run alone."""

    _quiet: bool
    _told = False

    def wait_deployed(
        self, guids: Targets | None = None, timeout: str | float | None = None
    ) -> bool:
        """Wait until resources are READY or beyond; see :meth:`wait_finished`."""
        return self._wait(guids, waiting.DEPLOYED, timeout)

    def wait_started(
        self, guids: Targets | None = None, timeout: str | float | None = None
    ) -> bool:
        """Wait until resources are STARTED or have ended; see :meth:`wait_finished`."""
        return self._wait(guids, waiting.STARTED, timeout)

    def wait_finished(
        self, guids: Targets | None = None, timeout: str | float | None = None
    ) -> bool:
        """Wait until resources have ended: STOPPED, FINISHED, FAILED or RELEASED.

        Args:
            guids: which; by default all that were deployed, hosts left out, since these are
                STARTED until they are released. An empty list waits for nothing.
            timeout: at most so long, ``"30s"`` or seconds.

        Returns:
            True, or False as soon as the experiment has failed. Why is logged the first time,
            unless ``nepiq run`` shows it. Also True for what this client has released itself.

        Raises:
            ExperimentReleased: another client released one of them before it was there, or nobody
                was seen for ``release_after``.
            WaitTimeout: it took longer; the message says who waits for what.
            NoWorker: nobody serves a site that they need.
        """
        return self._wait(guids, waiting.FINISHED, timeout)

    def wait_released(
        self, guids: Targets | None = None, timeout: str | float | None = None
    ) -> bool:
        """Wait until resources are RELEASED; a failed experiment is waited for too."""
        return self._wait(guids, waiting.RELEASED, timeout)

    def wait(
        self,
        guids: Targets,
        states: State | str | Iterable[State | str] = (),
        timeout: str | float | None = None,
        *,
        state: State | str | Iterable[State | str] = (),
        quit: Any = None,  # noqa: A002 - NEPI's
    ) -> bool:
        """Wait until each resource has reached one of some states, or cannot any more.

        Args:
            guids: which.
            states: a state or several; one that it has passed counts. Whoever has FAILED reaches
                none but RELEASED, and is waited for no longer.
            timeout: at most so long.
            state: NEPI's name for ``states``.
            quit: NEPI's; a failed experiment ends the wait in any case.

        Returns:
            True, or False as soon as the experiment has failed, unless RELEASED is waited for.

        Raises:
            ExperimentReleased: as in :meth:`wait_finished`, unless RELEASED is waited for.
            InvalidValue: there is no such state, or none was named.
            WaitTimeout: it took longer; the message says who waits for what.
        """
        wanted = state if states == () else states
        several = (wanted,) if isinstance(wanted, (State, str)) else wanted
        return self._wait(guids, waiting.reaching([State.parse(one) for one in several]), timeout)

    def _wait(self, guids: Targets | None, goal: waiting.Goal, timeout: str | float | None) -> bool:
        if guids is not None:
            wanted = self._resolve(guids)
        elif goal is waiting.FINISHED:
            wanted = self._live.deployed_but_hosts()
        else:
            wanted = self._live.all_deployed()
        done = self._live.wait(wanted, goal, None if timeout is None else seconds(timeout))
        if not done and not (self._quiet or announced()) and self._first():
            log.error("%s", self._live.failed())
        return done

    def _first(self) -> bool:
        """True for the first thread to ask."""
        with self._description.lock:
            first, self._told = not self._told, True
            return first
