"""linux::Application: a command on a Linux machine."""
# ruff: noqa: N815 - attributes bear the names that NEPI's scripts use

from __future__ import annotations

import shlex

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
    ResourceManager,
    Trace,
)
from .node import Node


class Application(ResourceManager, rtype="linux::Application"):
    """A command on a host.

    It is STARTED as soon as it runs, or as ``startedWhen`` says, and FINISHED when it has
    exited with one of ``okExitCodes``; another code makes it FAILED. An application without a
    command is FINISHED at its start.
    """

    command = Attribute(str, help="The command, text for sh.", flags=Flag.DESIGN)
    env = Attribute(
        Environment, "", help="Variables for the command, as A=1 B=2.", flags=Flag.DESIGN
    )
    stdin = Attribute(str, help="Text for its standard input.", flags=Flag.DESIGN)
    okExitCodes = Attribute(
        ExitCodes, 0, help='Exit codes that are fine: 0, "0,3" or "any".', flags=Flag.DESIGN
    )
    startedWhen = Attribute(
        Readiness,
        "",
        help="When it serves: port:N, output:REGEX or file:PATH; as soon as it runs if empty.",
        flags=Flag.DESIGN,
    )
    startTimeout = Attribute(
        Duration, "30s", help="Time it may take until startedWhen is met.", flags=Flag.DESIGN
    )
    sudo = Attribute(
        bool, False, help="Run the command as root, by sudo on the machine.", flags=Flag.DESIGN
    )
    exitCode = Attribute(int, help="How it ended, once it has.", flags=Flag.NO_WRITE)

    stdout = Trace(help="What it wrote to its standard output.")
    stderr = Trace(help="What it wrote to its standard error.")

    node = Connection(Node, required=True, help="The machine it runs on.")

    def deadline_for(self, action: Action) -> float:
        """A start may take ``startTimeout`` longer than usual."""
        usual = super().deadline_for(action)
        return usual + self.startTimeout if action is Action.START else usual

    def do_start(self, context: Context) -> Launch:
        """Launch the command, once for each start."""
        if not self.command:
            return Launch(exit=Exit(0, "FINISHED"))
        return context.host.supervise(
            self.command,
            stdin=self.stdin.encode() if self.stdin else None,
            env={**self.node.env, **self.env},
            ok_exit_codes=self.okExitCodes.codes,
            started_when=self.startedWhen,
            start_timeout=self.startTimeout,
            sudo=self.sudo,
        )

    def do_stop(self, context: Context) -> None:
        """End the command and what it started."""
        context.host.end()

    def do_release(self, context: Context) -> None:
        """End what still runs and, with ``hardRelease``, remove its files."""
        context.host.clear()
        if self.hardRelease:
            remove = f"rm -rf -- {shlex.quote(context.run_dir)}"
            context.host.run(remove, cwd="/", sudo=self.sudo)
