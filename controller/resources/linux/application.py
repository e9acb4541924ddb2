"""linux::Application: a command on a Linux machine."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence

from ...errors import InvalidValue
from ...model import (
    Action,
    Attribute,
    Connection,
    Contents,
    Context,
    Duration,
    Environment,
    Exit,
    ExitCodes,
    Flag,
    Later,
    Launch,
    Readiness,
    Trace,
)
from . import components
from .assembly import Assembly
from .buffering import unbuffered
from .limits import Limited
from .node import Node
from .origins import Code, Origins, Script, ScriptArguments, Sources
from .packages import Packages, install
from .tags import resolve


class Application(Limited, rtype="linux::Application"):
    """A command on a host, run by sh in a directory of its own.

    It is STARTED as soon as it runs, or when ``startedWhen`` is met, FINISHED when it exits with
    one of ``okExitCodes``, and FAILED for another code or after ``timeout``; with ``restart`` it is
    started again instead. An application without a command is FINISHED at its start.

    Its deployment puts it together: files and directories of the client, files that the host
    fetches, a build (docs/applications.md).
    """

    command = Attribute(str, help="The command, text for sh.", flags=Flag.DESIGN)
    script = Attribute(
        Script,
        "",
        help="A script of the client that is run instead of a command, by its interpreter line.",
        flags=Flag.DESIGN,
    )
    arguments = Attribute(
        ScriptArguments,
        "",
        help='Arguments of the script: a list, or {"count": 3} for --count=3.',
        flags=Flag.DESIGN,
    )
    sources = Attribute(
        Sources,
        "",
        help="Files and directories for ${SRC}: paths of the client, URLs (with #sha256=...), or "
        "git+https://HOST/PATH@COMMIT; a list, or separated by semicolons.",
        flags=Flag.DESIGN,
    )
    files = Attribute(
        Origins, "", help="Files and directories for ${SHARE}, as sources.", flags=Flag.DESIGN
    )
    libs = Attribute(
        Origins, "", help="Files and directories for ${LIB}, as sources.", flags=Flag.DESIGN
    )
    bins = Attribute(
        Origins, "", help="Executable files for ${BIN}, as sources.", flags=Flag.DESIGN
    )
    code = Attribute(
        Code,
        "",
        help="A file for ${CODE} (${APP_HOME}/code), as sources, or its text, which has a newline; "
        "several are put into a directory of that name.",
        flags=Flag.DESIGN,
    )
    build = Attribute(
        str,
        help="Commands that build it in ${RUN_HOME}; run once per host for the same content.",
        flags=Flag.DESIGN,
    )
    install = Attribute(
        str,
        help="Commands that install it, run in ${RUN_HOME} after the build, for each application; "
        "as root with sudo.",
        flags=Flag.DESIGN,
    )
    buildTimeout = Attribute(
        Duration, "1h", help="Time limit of build, and that of install.", flags=Flag.DESIGN
    )
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
    activity = Attribute(
        str, help="What its deployment does: carries, fetches, builds.", flags=Flag.NO_WRITE
    )
    contents = Attribute(
        Contents,
        "",
        help="The contents of the client's files, as it has found them.",
        flags=Flag.NO_WRITE | Flag.RESERVED,
    )

    stdout = Trace(help="Its standard output.")
    stderr = Trace(help="Its standard error.")
    exitcode = Trace(help="Its exit code, a number and a newline.", attribute="exitCode")

    deploy_stdout = Trace(
        help="Its parts, and what build and install printed.", needs=components.NAMES
    )
    deploy_stderr = Trace(help="Errors of the deployment's programs.", needs=components.NAMES)
    deploy_exitcode = Trace(
        help="0 if it was put together, a number and a newline.", needs=components.NAMES
    )
    build_stdout = Trace(help="Standard output of build.", needs=["build"])
    build_stderr = Trace(help="Standard error of build.", needs=["build"])
    build_exitcode = Trace(help="Exit code of build, a number and a newline.", needs=["build"])
    install_stdout = Trace(help="Standard output of install.", needs=["install"])
    install_stderr = Trace(help="Standard error of install.", needs=["install"])
    install_exitcode = Trace(
        help="Exit code of install, a number and a newline.", needs=["install"]
    )

    node = Connection(Node, required=True, help="The machine that it runs on.")

    called_for = {"do_deploy": ("depends", "cpus", "memory", *components.NAMES)}

    def deadline_for(self, action: Action) -> float:
        """Return the time limit of a step.

        It is longer by ``startTimeout`` for a start; for a deployment by twice ``buildTimeout``
        if there is something to build or to install, and by the time that its contents take over
        a slow connection.
        """
        limit = super().deadline_for(action)
        if action is Action.START:
            return limit + self.startTimeout
        return limit + components.seconds(self) if action is Action.DEPLOY else limit

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse a script beside a command, and arguments without a script."""
        if self.script and self.command:
            raise InvalidValue("set either command or script", where=self.label)
        if self.arguments and not self.script:
            raise InvalidValue("arguments belong to a script", where=self.label)
        components.check(self)

    def local_paths(self) -> Sequence[str]:
        """Return the paths of the client that it is made of."""
        return components.local_paths(self)

    def do_deploy(self, context: Context) -> Later | None:
        """Install ``depends``, find how the host keeps limits, and put the application together.

        Raises:
            HostError: something cannot be installed, limited, carried, fetched or built.
        """
        if not self.activity:  # in the first round
            if self.depends:
                install(context, self.depends)
            self.check_limits(context, sudo=self.sudo)
        assembly = self.assembly()
        if not assembly:
            return None
        done = assembly.put_together(context, self.activity)
        self.activity = done.activity
        return done.later

    def assembly(self) -> Assembly:
        """Return what it is made of."""
        return components.assembly(self)

    def do_start(self, context: Context) -> Launch:
        """Launch the command, once per start of the resource."""
        command = self.command or components.script_command(self)
        if not command:
            return Launch(exit=Exit(0, "FINISHED"))
        return self.launch(context, command, {**self.node.env, **self.env})

    @property
    def launches(self) -> bool:
        """Whether its start launches something on the host."""
        return bool(self.command or self.script)

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
        assembly = self.assembly()
        if assembly.build and self.occasion > 1:
            assembly.put_together_again(context)
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
