"""Resources that do not act on a host, for examples, tests and benchmarks."""

from __future__ import annotations

import time

from ...errors import DeadlineError
from ...model import Attribute, Context, Duration, Flag, ResourceManager


class Null(ResourceManager, rtype="nepiq::Null"):
    """A resource without hooks: a node of the graph, such as a milestone of an experiment."""

    does_io = False


class Sleep(ResourceManager, rtype="nepiq::Sleep"):
    """A resource whose start takes some time, like one that does real work."""

    work = Attribute(Duration, "0s", help="Duration of its start.", flags=Flag.DESIGN)

    def do_start(self, context: Context) -> None:
        """Sleep.

        Raises:
            DeadlineError: the step's deadline passed first.
        """
        time.sleep(min(self.work, context.deadline.remaining))
        if context.deadline.expired:
            raise DeadlineError(f"the deadline passed during a sleep of {self.work:g} s")
