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
from .buffering import unbuffered
from .node import Node
from .packages import Packages, install
from .tags import resolve


class Application(ResourceManager, rtype="linux::Application"):
    """A command on a host, run by sh in a directory of its own.

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
    unbuffered = Attribute(
        bool,
        False,
        help="Have what it prints seen at once, by trace and logs: programs that write to a file "
        "keep it back, some until they end. Sets PYTHONUNBUFFERED=1, and runs the command by "
        "stdbuf(1) -oL -eL if the machine has that.",
        flags=Flag.DESIGN,
    )
    depends = Attribute(
        Packages,
        "",
        help="Packages that it needs; those that are missing are installed as root.",
        flags=Flag.DESIGN,
    )
    tearDown = Attribute(
        str,
        help="A command that undoes what it did, run when it is released; as root with sudo.",
        flags=Flag.DESIGN,
    )
    splitStderr = Attribute(
        bool, True, help="Of no effect, for NEPI's scripts: stdout and stderr are always two."
    )
    exitCode = Attribute(int, help="How it ended, once it has.", flags=Flag.NO_WRITE)

    stdout = Trace(help="What it wrote to its standard output.")
    stderr = Trace(help="What it wrote to its standard error.")
    exitcode = Trace(help="How it ended, a number and a newline.", attribute="exitCode")

    node = Connection(Node, required=True, help="The machine it runs on.")

    called_for = {"do_deploy": ("depends",)}

    def deadline_for(self, action: Action) -> float:
        """A start may take ``startTimeout`` longer than usual."""
        usual = super().deadline_for(action)
        return usual + self.startTimeout if action is Action.START else usual

    def do_deploy(self, context: Context) -> None:
        """Install what it depends on."""
        install(context, self.depends)

    def do_start(self, context: Context) -> Launch:
        """Launch the command, once for each start."""
        if not self.command:
            return Launch(exit=Exit(0, "FINISHED"))
        command, env = resolve(self.command, {**self.node.env, **self.env})
        if self.unbuffered:
            command, env = unbuffered(command), {"PYTHONUNBUFFERED": "1", **env}
        return context.host.supervise(
            command,
            stdin=self.stdin.encode() if self.stdin else None,
            env=env,
            ok_exit_codes=self.okExitCodes.codes,
            started_when=self.startedWhen,
            start_timeout=self.startTimeout,
            sudo=self.sudo,
        )

    def do_stop(self, context: Context) -> None:
        """End the command and what it started."""
        context.host.end()

    def do_release(self, context: Context) -> None:
        """End what still runs, tear down and, with ``hardRelease``, remove its files."""
        context.host.clear()
        try:
            if self.tearDown:
                context.host.run(self.tearDown, sudo=self.sudo)
        finally:
            if self.hardRelease:
                remove = f"rm -rf -- {shlex.quote(context.run_dir)}"
                context.host.run(remove, cwd="/", sudo=self.sudo)
