"""A call of a function at some moment of a run, by a worker; what ``ec.schedule`` registers."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import ClassVar

from ...errors import FencedError
from ...model import Attribute, Context, Exit, Flag, Launch, ResourceManager
from ...model.lifecycle import Action

#: Characters of a traceback that are kept, from its end.
LONGEST = 20_000


class Clock(ResourceManager, rtype="nepiq::Clock"):
    """The moment from which absolute times of a run are reckoned: that in which it was READY."""

    internal = True
    does_io = False


class Callback(ResourceManager, rtype="nepiq::Callback"):
    """Calls a function once it is started. That it raises is its result, and fails nothing."""

    internal = True
    deadlines: ClassVar[Mapping[Action, float]] = {Action.START: 86400.0}

    call = Attribute(str, help="What to call, as JSON.", flags=Flag.DESIGN, required=True)
    outcome = Attribute(str, help="DONE or ERROR, once it was called.", flags=Flag.NO_WRITE)
    result = Attribute(str, help="What it returned, as JSON.", flags=Flag.NO_WRITE)
    traceback = Attribute(str, help="What it raised.", flags=Flag.NO_WRITE)

    def do_start(self, context: Context) -> Launch:
        """Call it, and keep what it returned or raised."""
        try:
            self.result = context.call(self.call)
            self.outcome = "DONE"
        except FencedError:
            raise
        except (Exception, SystemExit):  # noqa: BLE001 - it is the user's
            self.traceback = traceback.format_exc()[-LONGEST:]
            self.outcome = "ERROR"
        return Launch(exit=Exit(0, "FINISHED"))
