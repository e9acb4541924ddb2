"""linux::Application: a command on a Linux machine."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ...model import (
    Action,
    Attribute,
    Connection,
    Context,
    Duration,
    Environment,
    Exit,
    ExitCodes,
    Flag,
    Launch,
    Readiness,
    Trace,
)
from .buffering import unbuffered
from .limits import Limited
from .node import Node
from .packages import Packages, install
from .tags import resolve


class Application(Limited, rtype="linux::Application"):
    """A command on a host, run by sh in a directory of its own.

    It is STARTED as soon as it runs, or when ``startedWhen`` is met, FINISHED when it exits with
    one of ``okExitCodes``, and FAILED for another code or after ``timeout``; with ``restart`` it is
    started again instead. An application without a command is FINISHED at its start.
    """

    command = Attribute(str, help="The command, text for sh.", flags=Flag.DESIGN)
    env = Attribute(
        Environment, "", help="Variables for the command, as A=1 B=2.", flags=Flag.DESIGN
    )
    stdin = Attribute(str, help="Text for its standard input.", flags=Flag.DESIGN)
    okExitCodes = Attribute(
        ExitCodes, 0, help='Exit codes of success: 0, "0,3" or "any".', flags=Flag.DESIGN
    )
    startedWhen = Attribute(
        Readiness,
        "",
        help="Readiness probe: port:N, output:REGEX or file:PATH; empty: ready when it runs.",
        flags=Flag.DESIGN,
    )
    startTimeout = Attribute(Duration, "30s", help="Time limit of startedWhen.", flags=Flag.DESIGN)
    sudo = Attribute(
        bool, False, help="Run the command as root, by sudo on the host.", flags=Flag.DESIGN
    )
    unbuffered = Attribute(
        bool,
        False,
        help="Write each line of output at once, for trace and logs; by default most programs "
        "buffer output to a file. Sets PYTHONUNBUFFERED=1, and runs the command by "
        "stdbuf(1) -oL -eL if the host has that.",
        flags=Flag.DESIGN,
    )
    depends = Attribute(
        Packages,
        "",
        help="Packages that it needs; missing ones are installed as root.",
        flags=Flag.DESIGN,
    )
    splitStderr = Attribute(
        bool, True, help="No effect, for NEPI's scripts: stdout and stderr are always separate."
    )
    exitCode = Attribute(int, help="Its exit code, after its end.", flags=Flag.NO_WRITE)

    stdout = Trace(help="Its standard output.")
    stderr = Trace(help="Its standard error.")
    exitcode = Trace(help="Its exit code, a number and a newline.", attribute="exitCode")

    node = Connection(Node, required=True, help="The machine that it runs on.")

    called_for = {"do_deploy": ("depends", "cpus", "memory")}

    def deadline_for(self, action: Action) -> float:
        """Return the time limit of a step, for a start longer by ``startTimeout``."""
        limit = super().deadline_for(action)
        return limit + self.startTimeout if action is Action.START else limit

    def do_deploy(self, context: Context) -> None:
        """Install the packages in ``depends``, and find how the host keeps limits."""
        if self.depends:
            install(context, self.depends)
        self.check_limits(context, sudo=self.sudo)

    def do_start(self, context: Context) -> Launch:
        """Launch the command, once per start of the resource."""
        if not self.command:
            return Launch(exit=Exit(0, "FINISHED"))
        return self.launch(context, self.command, {**self.node.env, **self.env})

    @property
    def launches(self) -> bool:
        """Whether its start launches something on the host."""
        return self.command != ""

    def launch(
        self, context: Context, command: str, env: Mapping[str, str], started_when: str = ""
    ) -> Launch:
        """Launch a command as the attributes describe, once per start of the resource.

        Args:
            context: access to the host.
            command: text for sh.
            env: its variables; both may mention paths such as ``${RUN_HOME}``.
            started_when: the readiness probe; the attribute if empty.
        """
        command, env = resolve(command, env)
        if self.unbuffered:
            command, env = unbuffered(command), {"PYTHONUNBUFFERED": "1", **env}
        command = self.limited(command)
        launched = context.host.supervise(
            command,
            stdin=self.stdin.encode() if self.stdin else None,
            env=env,
            ok_exit_codes=self.okExitCodes.codes,
            started_when=started_when or self.startedWhen,
            start_timeout=self.startTimeout,
            sudo=self.sudo,
            life=self.life,
        )
        if self.occasion > 1 and not launched.adopted:
            self.restarts = 0
        return launched

    def do_release(self, context: Context) -> None:
        """End its processes, run ``tearDown`` and, with ``hardRelease``, remove its files."""
        self.clear(context)
        try:
            self.remove_limits(context, sudo=self.sudo)
            self.undo(context, launched=self.launches, sudo=self.sudo)
        finally:
            if self.hardRelease:
                remove = f"rm -rf -- {shlex.quote(context.run_dir)}"
                context.host.run(remove, cwd="/", sudo=self.sudo)
