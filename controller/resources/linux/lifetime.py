"""The life of a command on a host: time limit, end, restarts and undoing, as attributes."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

from ...model import (
    Action,
    Attribute,
    Context,
    Duration,
    Flag,
    Life,
    ResourceManager,
    State,
    StopSignal,
)
from ...model.values import RESTARTS

_STOP_GRACE, _RELEASE_GRACE = 10.0, 5.0


class Lifetime(ResourceManager):
    """The attributes of a type that launches one command, and what follows from them.

    The host itself sees to ``timeout`` and ``restart``, so they hold without script and worker.
    """

    timeout = Attribute(
        Duration,
        "0s",
        help="Real time after which it is ended as FAILED, restarts included; 0: no limit.",
        flags=Flag.DESIGN,
    )
    stopSignal = Attribute(
        StopSignal,
        "TERM",
        help="The signal that requests its end, such as INT for programs that finish on ctrl-C.",
        flags=Flag.DESIGN,
    )
    grace = Attribute(
        Duration,
        help="Time from stopSignal to KILL; by default 10s, at a release 5s.",
        flags=Flag.DESIGN,
    )
    restart = Attribute(
        str,
        "no",
        allowed=RESTARTS,
        help="When it is started again on its host: after a failure (on-failure) or any end of "
        "its own (always). It stays STARTED meanwhile.",
        flags=Flag.DESIGN,
    )
    restartLimit = Attribute(
        int,
        10,
        help="Greatest number of restarts; the exit after it counts. 0: no limit.",
        range=(0, 10**6),
        flags=Flag.DESIGN,
    )
    restartDelay = Attribute(
        Duration,
        "1s",
        help="Pause before the first restart; doubled each time up to a minute, and as at first "
        "after a run of ten seconds.",
        flags=Flag.DESIGN,
    )
    restarts = Attribute(int, 0, help="Number of its restarts.", flags=Flag.NO_WRITE)
    tearDown = Attribute(
        str,
        help="A command that cleans up, run at its release; as root with sudo. It is not run if "
        "the start failed.",
        flags=Flag.DESIGN,
    )
    tearDownAlways = Attribute(
        bool,
        False,
        help="Run tearDown also if the start failed; NEPIQ_STARTED is empty then, else 1.",
        flags=Flag.DESIGN,
    )

    @property
    def life(self) -> Life:
        """Its life, as the host is given it."""
        return Life(
            timeout=self.timeout,
            stop_signal=self.stopSignal,
            grace=_STOP_GRACE if self.grace is None else self.grace,
            restart=self.restart,
            restarts=self.restartLimit,
            pause=self.restartDelay,
        )

    def deadline_for(self, action: Action) -> float:
        """Return the time limit of a step, for an end longer by ``grace``."""
        ends = action in (Action.STOP, Action.RELEASE)
        return super().deadline_for(action) + (self.grace or 0.0 if ends else 0.0)

    def do_stop(self, context: Context) -> None:
        """End the command and its child processes."""
        context.host.end(grace=self.life.grace)

    def clear(self, context: Context) -> None:
        """End all of its processes, as part of its release."""
        context.host.clear(grace=_RELEASE_GRACE if self.grace is None else self.grace)

    def undo(self, context: Context, *, launched: bool = True, sudo: bool = False) -> None:
        """Run ``tearDown``, unless the start failed.

        Args:
            context: access to the host.
            launched: False if its start launches nothing, so that the host knows of none.
            sudo: run it as root.
        """
        if not self.tearDown:
            return
        env = {} if launched else {"NEPIQ_STARTED": "1" * context.reached(State.STARTED)}
        if launched or self.tearDownAlways or env["NEPIQ_STARTED"]:
            context.host.run(
                self.tearDown,
                env=env,
                sudo=sudo,
                started_only=launched and not self.tearDownAlways,
            )
