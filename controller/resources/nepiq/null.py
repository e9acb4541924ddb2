"""Resources that touch nothing, for examples, tests and benchmarks."""

from __future__ import annotations

import time

from ...errors import DeadlineError
from ...model import Attribute, Context, Duration, Flag, ResourceManager


class Null(ResourceManager, rtype="nepiq::Null"):
    """Does nothing, in no time: a place in the graph, such as a milestone of an experiment."""

    does_io = False


class Sleep(ResourceManager, rtype="nepiq::Sleep"):
    """Takes some time to start, as a resource that does real work would."""

    work = Attribute(Duration, "0s", help="How long its start takes.", flags=Flag.DESIGN)

    def do_start(self, context: Context) -> None:
        """Sleep.

        Raises:
            DeadlineError: the step's deadline came first.
        """
        time.sleep(min(self.work, context.deadline.remaining))
        if context.deadline.expired:
            raise DeadlineError(f"still asleep after {self.work:g} s")
