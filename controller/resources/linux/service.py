"""linux::Service: a command that serves until it is stopped, or a unit of systemd."""
# ruff: noqa: N815 - attributes have the names of linux::Application

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Any

from ...errors import InvalidValue
from ...model import Action, Attribute, Context, Flag, Launch, Readiness
from ...model.values import RESTARTS
from .application import Application

_ACTIVE = "active"

# Ends with the exit code of the unit's main process. The trap runs on a stop, a release, or when
# processes of a dead run are ended: then the unit is stopped too, if it was not active before.
_FOLLOW = """
unit={unit}
stop() {{ trap '' TERM INT HUP QUIT; [ -n "$before" ] || systemctl stop -- "$unit"; exit 143; }}
before=''
! systemctl is-active -q -- "$unit" || before=1
trap stop TERM INT HUP QUIT
[ -n "$before" ] || systemctl start -- "$unit" || exit
journalctl -q -f -n 0 -o cat -u "$unit" &
journal=$!
: >{active}
systemctl start --wait -- "$unit" &
wait $!
code=$(systemctl show -p ExecMainStatus --value -- "$unit")
kill "$journal" 2>/dev/null
exit "${{code:-1}}"
"""


class UnitName(str):
    """The name of a unit of systemd, as ``nginx`` or ``nginx.service``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> UnitName:
        """Return a name that cannot be taken for an option or for several units."""
        name = value if isinstance(value, str) else "-"
        if name.startswith("-") or not set(name) <= _IN_UNITS:
            raise InvalidValue("must be the name of a unit, such as nginx.service")
        return cls(name)


_IN_UNITS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@")


class Service(Application, rtype="linux::Service"):
    """A command that serves until it is stopped: restarted whenever it ends.

    It is an Application with other defaults, supervised on its host. With ``unit`` it is a unit of
    systemd that exists on the host: started with the resource and followed, its journal as
    ``stdout``, and stopped with it, unless it was active before. Starting units usually needs
    ``sudo``. ``ec.wait_finished()`` of everything does not wait for a service.
    """

    endless = True

    unit = Attribute(
        UnitName,
        "",
        help="A unit of systemd on the host, such as nginx.service, instead of command.",
        flags=Flag.DESIGN,
    )
    restart = Attribute(
        str,
        "always",
        allowed=RESTARTS,
        help="When it is started again on its host: never (no), after a failure (on-failure) or "
        "any end of its own (always).",
        flags=Flag.DESIGN,
    )
    restartLimit = Attribute(
        int,
        0,
        help="Greatest number of restarts; the exit after it counts. 0: no limit.",
        range=(0, 10**6),
        flags=Flag.DESIGN,
    )
    startedWhen = Attribute(
        Readiness,
        "",
        help="Readiness probe: port:N, output:REGEX or file:PATH; empty: ready when it runs, or "
        "when the unit is active.",
        flags=Flag.DESIGN,
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse a description that has no service, or two."""
        super().validate(conditional)
        if bool(self.command or self.script) == bool(self.unit):
            raise InvalidValue("set either command, script or unit", where=self.label)
        if self.unit and (self.cpus is not None or self.memory is not None):
            raise InvalidValue(
                "cpus and memory do not apply to a unit",
                where=self.label,
                hint="set CPUQuota= and MemoryMax= in the unit",
            )

    def do_start(self, context: Context) -> Launch:
        """Launch the command, or start the unit and follow it."""
        if not self.unit:
            return super().do_start(context)
        command = _FOLLOW.format(unit=shlex.quote(self.unit), active=_ACTIVE)
        ready = self.startedWhen or f"file:{_ACTIVE}"
        return self.launch(context, command.strip(), {}, started_when=ready)

    @property
    def launches(self) -> bool:
        """Whether its start launches something on the host."""
        return True
