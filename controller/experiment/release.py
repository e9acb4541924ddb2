"""Release of a run by the client that owns it: on request, or at the end of its script."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from ..errors import NepiqError
from . import ownership
from .session import RunSession
from .storage import RunStorage

log = logging.getLogger("nepiq.experiment")

#: Seconds that the end of a script waits for its run to be released; the workers go on.
EXIT_SECONDS = 60.0


class RunOwner:
    """Releases a run, at the latest when the process that created it ends.

    Args:
        session: the run.
        storage: the directories that a release fills.
    """

    def __init__(self, session: RunSession, storage: RunStorage) -> None:
        self._session = session
        self._replica = session.replica
        self._storage = storage
        self._released = False
        self._terminated = False

    def hold(self) -> None:
        """Own the run: release it when this process ends."""
        ownership.hold(self, self._release_at_exit, self._request)

    def let_go(self) -> None:
        """Do not release the run when this process ends."""
        ownership.let_go(self)

    def state(self) -> str:
        """Return the name of the experiment's state."""
        if self._terminated:
            return "TERMINATED"
        phase = self._replica.current.phase()
        if self._released or phase in ("RELEASED", "GONE"):
            return "RELEASED"
        return "FAILED" if self._replica.current.failed() else "RUNNING"

    def release(self, guids: Sequence[int] | None) -> None:
        """Release some resources, or the run for None, and wait for it."""
        with self._storage.collecting(guids):
            self._session.release(guids)
        if guids is None:
            self.let_go()
            self._released = True

    def shutdown(self) -> None:
        """Release the run and close its connections."""
        if not self._terminated:
            self.release(None)
            self._terminated = True
        self._replica.close()

    def leave(self, error: BaseException | None) -> None:
        """End a ``with`` block: release the run if this process owns it.

        Args:
            error: the exception that ended the block.

        Raises:
            ExperimentFailed: a critical resource failed, and the block ended without exception.
        """
        if not ownership.holds(self):
            self._replica.close()
        elif error is not None:
            try:
                self._release_at_exit()
            except KeyboardInterrupt:
                self._request()
                raise
        else:
            failed = self._replica.current.failed()
            self.shutdown()
            if failed is not None:
                raise failed

    def _release_at_exit(self) -> None:
        if not self._session.quiet:
            print(  # noqa: T201 - for the user who ended the script
                f"releasing run {self._replica.known_run} (ctrl-C again: do not wait for it)",
                file=sys.stderr,
            )
        self.let_go()
        try:
            with self._storage.collecting(None):
                self._session.release(None, EXIT_SECONDS)
            self._released = True
        except NepiqError as error:
            # Do not mask the exception that ended the script.
            log.warning("%s", error)
        finally:
            self._replica.close()

    def _request(self) -> None:
        """Have workers release the run, and do not wait for it."""
        try:
            with self._session.without_waiting():
                self._session.release(None)
        except NepiqError as error:
            log.warning("%s", error)
        finally:
            self._replica.close()
