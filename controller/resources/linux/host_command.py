"""HostCommand: the base of types that launch one command on a host."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from ...model import (
    Action,
    Attribute,
    Connection,
    Contents,
    Context,
    Duration,
    Environment,
    ExitCodes,
    Flag,
    Later,
    Launch,
    Readiness,
    Trace,
)
from .assembly import Assembly, Part
from .buffering import unbuffered
from .limits import Limited
from .node import Node
from .origins import PATH, Origins, Sources
from .packages import Packages, install
from .tags import resolve

#: The attributes that name files, and the places of these on the host; see Part.
_PLACES = {"sources": "src", "files": "share", "libs": "lib", "bins": "bin"}

#: The attributes with which there is something to put together, those of derived types included.
_PUT_TOGETHER = (*_PLACES, "script", "code", "build", "install")

#: Bytes a second of a slow connection, for time limits.
_SLOW = 100_000


class HostCommand(Limited):
    """One command on a host, run by sh in a directory of its own, and the files that it needs.

    A derived type defines ``do_start``, which passes its command to :meth:`launch`. The resource is
    STARTED as soon as the command runs, or when ``startedWhen`` is met, FINISHED when it exits with
    one of ``okExitCodes``, and FAILED for another code or after ``timeout``; with ``restart`` it is
    started again instead.

    Its deployment installs packages and puts files in place (docs/applications.md). A type that
    also builds on the host derives from :class:`~.built_command.BuiltCommand`.
    """

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
        help="Its parts, and what build and install printed.", needs=_PUT_TOGETHER
    )
    deploy_stderr = Trace(help="Errors of the deployment's programs.", needs=_PUT_TOGETHER)
    deploy_exitcode = Trace(
        help="0 if it was put together, a number and a newline.", needs=_PUT_TOGETHER
    )

    node = Connection(Node, required=True, help="The machine that it runs on.")

    called_for = {"do_deploy": ("depends", "cpus", "memory", *_PLACES)}
    joint = {
        "do_release": ("sudo", "tearDown", "hardRelease", "cpus", "memory"),
        "do_stop": ("sudo",),
    }
    left_to_host = {"do_release": ("tearDown", "hardRelease", "cpus", "memory", "grace")}

    def deadline_for(self, action: Action) -> float:
        """Return the time limit of a step.

        It is longer by ``startTimeout`` for a start, and for a deployment by the time that its
        contents take over a slow connection.
        """
        limit = super().deadline_for(action)
        if action is Action.START:
            return limit + self.startTimeout
        if action is Action.DEPLOY:
            return limit + sum(content.size for content in self.contents.values()) / _SLOW
        return limit

    def local_paths(self) -> Sequence[str]:
        """Return the paths of the client that it is made of."""
        origins = [origin for name in _PLACES for origin in getattr(self, name)]
        return [origin.text for origin in origins if origin.kind == PATH]

    def parts(self) -> list[Part]:
        """Return the files that it needs on the host; a type that has others adds them."""
        return [
            Part.of(place, origin, self.contents, executable=name == "bins")
            for name, place in _PLACES.items()
            for origin in getattr(self, name)
        ]

    def assembly(self) -> Assembly:
        """Return what its deployment puts together."""
        return Assembly(self.parts(), env=self.variables, sudo=self.sudo)

    @property
    def variables(self) -> dict[str, str]:
        """The variables of its commands: those of the node, and its own."""
        return {**self.node.env, **self.env}

    def do_deploy(self, context: Context) -> Later | None:
        """Install ``depends``, find how the host keeps limits, and put its files in place.

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

    @property
    def launches(self) -> bool:
        """Whether its start launches something on the host."""
        return True

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
