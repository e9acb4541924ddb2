"""BuiltCommand: a command on a host, with code that is built there."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from ...errors import InvalidValue
from ...model import Action, Attribute, Content, Duration, Flag, Trace
from .assembly import Assembly, Part
from .host_command import HostCommand
from .origins import PATH, Code

# Directories that one application of many has: a build that used them would not be of all.
_OWN = re.compile(r"\$\{(NODE_HOME|EXP_HOME)\}")


class BuiltCommand(HostCommand):
    """A command on a host whose deployment also builds and installs something there.

    A build is run once per host for the same content. Each start finds its result in the run
    directory.
    """

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

    build_stdout = Trace(help="Standard output of build.", needs=["build"])
    build_stderr = Trace(help="Standard error of build.", needs=["build"])
    build_exitcode = Trace(help="Exit code of build, a number and a newline.", needs=["build"])
    install_stdout = Trace(help="Standard output of install.", needs=["install"])
    install_stderr = Trace(help="Standard error of install.", needs=["install"])
    install_exitcode = Trace(
        help="Exit code of install, a number and a newline.", needs=["install"]
    )

    called_for = {"do_deploy": (*HostCommand.called_for["do_deploy"], "code", "build", "install")}

    def deadline_for(self, action: Action) -> float:
        """Return the time limit of a step, longer by twice ``buildTimeout`` for one that builds."""
        builds = action is Action.DEPLOY and (self.build or self.install)
        return super().deadline_for(action) + (2 * self.buildTimeout if builds else 0.0)

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse a build that mentions directories of one application.

        Raises:
            InvalidValue: that is so.
        """
        super().validate(conditional)
        own = _OWN.search(self.build)
        if own is not None:
            raise InvalidValue(
                f"build mentions {own[0]}, but its result is shared by all runs on the host",
                where=self.label,
                hint="move what needs it to install or command",
            )

    def local_paths(self) -> Sequence[str]:
        """Return the paths of the client that it is made of."""
        code = [origin.text for origin in self.code if origin.kind == PATH]
        return [*super().local_paths(), *code]

    def parts(self) -> list[Part]:
        """Return the files that it needs on the host, its code among them."""
        code = self.code
        if code.text and not code:
            content = Content.of(code.text.encode())
            part = Part.carried("home", "code", "its text", content, executable=True)
            return [*super().parts(), part]
        parts = [Part.of("code", origin, self.contents, executable=True) for origin in code]
        if len(parts) == 1:
            parts = [parts[0]._replace(place="home", name="code")]
        return [*super().parts(), *parts]

    def assembly(self) -> Assembly:
        """Return what its deployment puts together."""
        return replace(
            super().assembly(),
            build=self.build,
            install=self.install,
            timeout=self.buildTimeout,
        )
