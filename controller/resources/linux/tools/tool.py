"""Tools: programs on a host whose command is composed from typed options."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import shlex

from ....errors import HostError
from ....model import Attribute, Context, Flag, Later, Launch
from ....model.host import SUPERUSER_PATH
from ..built_command import BuiltCommand
from ..packages import Packages, install
from .options import Option, Program, Words

# Messages in English, and the programs that a login finds only as the superuser.
_ENVIRONMENT = f'export LC_ALL=C PATH="$PATH:{SUPERUSER_PATH}"'
_CHECK = "command -v {name} >/dev/null || {{ echo {complaint} >&2; exit 127; }}"


class Tool(BuiltCommand):
    """A program on a host whose options are attributes, and whose results are figures.

    A subclass declares ``program``, an :class:`Option` for each switch and a
    :class:`~nepiq.controller.model.Figure` for each result, and defines ``figures()``. With a
    ``command``, that runs instead, and the options have no effect.

    The deployment looks for the program on the host and installs its package, as root, if it is
    missing. The first tool with that program on a host does so for all others.
    """

    leading = "prepares"
    called_for = {"do_deploy": (*BuiltCommand.called_for["do_deploy"], "earlyStart", "prepares")}
    joint = {"do_start": ("startedWhen", "sudo")}

    program = Program("true", package="coreutils")
    command = Attribute(
        str, help="A command that runs instead of the program, text for sh.", flags=Flag.DESIGN
    )
    extra = Attribute(
        Words, "", help="Further arguments, before the operands, as in a shell.", flags=Flag.DESIGN
    )
    earlyStart = Attribute(
        bool, False, help="Run the program from the deployment on.", flags=Flag.DESIGN
    )

    programVersion = Attribute(
        str,
        help="The version of the program, as it prints it; of one tool for all of its host.",
        flags=Flag.FACT,
    )
    prepares = Attribute(
        bool,
        False,
        help="Whether it looks for the program for all tools of its host.",
        flags=Flag.RESERVED | Flag.NO_WRITE,
    )

    def shared_work(self) -> str:
        """Return the name of the search for the program, which one tool does for all on a host."""
        return "" if self.command else f"find {shlex.join(self.program)}"

    def do_deploy(self, context: Context) -> Later | None:
        """Install what is missing; with ``earlyStart``, launch the program."""
        later = super().do_deploy(context)
        if later is not None:
            return later
        if self.prepares:
            self._require(context)
        if self.earlyStart:
            self.do_start(context)
        return None

    def _require(self, context: Context) -> None:
        name, declared = self.program[0], self.attributes["program"]
        if not isinstance(declared, Program) or name != Words.parse(declared.default)[0]:
            if context.host.lacks(name):
                raise HostError(
                    f"the host lacks the program {name!r}",
                    hint="correct the attribute program, or install it on the host",
                )
            return
        if self._is_found(context, declared.version):
            return
        try:
            install(context, Packages((declared.package,)))
        except HostError as error:
            raise HostError(
                f"the host lacks {name}, and {declared.package} cannot be installed: "
                f"{error.message}",
                hint=f"install {declared.package} (its name in Debian) on the host, as root",
            ) from error
        if not self._is_found(context, declared.version):
            raise HostError(
                f"the host lacks {name}, although {declared.package} is installed",
                hint="set program to its path on the host",
            )

    def _is_found(self, context: Context, option: str) -> bool:
        """Return whether the host has the program, and report its version."""
        name = self.program[0]
        if not option:
            return not context.host.lacks(name)
        version = context.host.version(name, option)
        self.programVersion = version
        return version is not None

    def do_start(self, context: Context) -> Launch:
        """Launch the program, once per start of the resource."""
        command = self.command
        if not command:
            name = self.program[0]
            complaint = shlex.quote(f"nepiq: the host lacks {name}")
            check = _CHECK.format(name=shlex.quote(name), complaint=complaint)
            command = f"{_ENVIRONMENT}; {check}; {self.wrapped(self.call())}"
        return self.launch(context, command, self.variables)

    def call(self) -> str:
        """Return the call of the program, text for sh."""
        return shlex.join([*self.program, *self.option_words(), *self.extra, *self.operands()])

    def option_words(self) -> list[str]:
        """Return the arguments that the options give."""
        return [
            word
            for name, option in self.attributes.items()
            if isinstance(option, Option)
            for word in option.words(getattr(self, name))
        ]

    def operands(self) -> list[str]:
        """Return the arguments after the options; override it for a program that has some."""
        return []

    def wrapped(self, call: str) -> str:
        """Return the text for sh that makes a call; override it for what belongs around it.

        Text of one line is launched together with that of other resources.
        """
        return f"exec {call}"


class RepeatedTool(Tool):
    """A tool that can run again and again, each time after a line with the time."""

    continuous = Attribute(bool, False, help="Run it again and again.", flags=Flag.DESIGN)
    printTimestamp = Attribute(
        bool,
        False,
        help="Print the date before each run, as year, month, day, hour, minute, second.",
        flags=Flag.DESIGN,
    )

    def wrapped(self, call: str) -> str:
        """Return the text for sh that runs the program once or in a loop."""
        stamp = "date +%Y%m%d%H%M%S; " if self.printTimestamp else ""
        if self.continuous:
            return f"while :; do {stamp}{call} || exit; done"
        return stamp + super().wrapped(call)
