"""Resources that do not act on a host: milestones and pauses of an experiment, work in tests."""

from __future__ import annotations

import time

from ...errors import DeadlineError
from ...model import Attribute, Context, Duration, Exit, Flag, Launch, ResourceManager


class Null(ResourceManager, rtype="nepiq::Null"):
    """A resource that does nothing: a node of the graph, such as a milestone of an experiment.

    It is STARTED until it is stopped; with ``ends`` it is FINISHED at its start.
    """

    does_io = False

    ends = Attribute(
        bool, False, help="End at its start, so that waits for the end pass.", flags=Flag.DESIGN
    )

    called_for = {"do_start": ("ends",)}

    def do_start(self, context: Context) -> Launch:
        """Return the FINISHED state at once."""
        return Launch(exit=Exit(0, "FINISHED"))


class Sleep(ResourceManager, rtype="nepiq::Sleep"):
    """A pause: it is FINISHED when ``duration`` has passed since its start.

    The engine counts the time, so no worker is occupied and none is missed meanwhile. Without
    ``duration`` it is STARTED until it is stopped.
    """

    duration = Attribute(Duration, help="Time from its start to its end.", flags=Flag.DESIGN)
    work = Attribute(
        Duration, "0s", help="Duration of its start, which occupies a worker.", flags=Flag.DESIGN
    )

    called_for = {"do_start": ("duration", "work")}

    def do_start(self, context: Context) -> Launch | None:
        """Work, and request the end.

        Raises:
            DeadlineError: the step's deadline passed first.
        """
        if self.work:
            time.sleep(min(self.work, context.deadline.remaining))
        if self.work and context.deadline.expired:
            raise DeadlineError(f"the deadline passed during a sleep of {self.work:g} s")
        if self.duration is None:
            return None
        if not self.duration:
            return Launch(exit=Exit(0, "FINISHED"))
        return Launch(lasts=self.duration)
