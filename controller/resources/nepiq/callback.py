"""The call of a function by a worker at some time of a run, as ``ec.schedule`` registers it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import ClassVar

from ...errors import FencedError
from ...model import Attribute, Context, Exit, Flag, Launch, ResourceManager
from ...model.lifecycle import Action

#: Maximum length of a recorded traceback; its end is kept.
LONGEST = 20_000


class Clock(ResourceManager, rtype="nepiq::Clock"):
    """The time origin of a run for ``ec.schedule``: the time at which the clock was READY."""

    internal = True
    does_io = False


class Callback(ResourceManager, rtype="nepiq::Callback"):
    """A function call, run at its start. An error of the function does not fail the resource."""

    internal = True
    deadlines: ClassVar[Mapping[Action, float]] = {Action.START: 86400.0}

    call = Attribute(str, help="The call, as JSON.", flags=Flag.DESIGN, required=True)
    outcome = Attribute(str, help="DONE or ERROR, after the call.", flags=Flag.NO_WRITE)
    result = Attribute(str, help="The returned value, as JSON.", flags=Flag.NO_WRITE)
    traceback = Attribute(str, help="The traceback of its error.", flags=Flag.NO_WRITE)

    def do_start(self, context: Context) -> Launch:
        """Call the function, and store the returned value or the traceback."""
        try:
            self.result = context.call(self.call)
            self.outcome = "DONE"
        except FencedError:
            raise
        except (Exception, SystemExit):  # noqa: BLE001 - the function is the user's
            self.traceback = traceback.format_exc()[-LONGEST:]
            self.outcome = "ERROR"
        return Launch(exit=Exit(0, "FINISHED"))
