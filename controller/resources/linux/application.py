"""linux::Application: a command or script of the user on a Linux machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from shlex import quote

from ...errors import InvalidValue
from ...model import Action, Attribute, Context, Exit, Flag, Launch
from .assembly import Part
from .built_command import BuiltCommand
from .origins import Origin, Script, ScriptArguments


class Application(BuiltCommand, rtype="linux::Application"):
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

    called_for = {"do_deploy": (*BuiltCommand.called_for["do_deploy"], "script")}
    joint = {"do_start": ("startedWhen", "sudo")}

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse a script beside a command, and arguments without a script."""
        super().validate(conditional)
        if self.script and self.command:
            raise InvalidValue("set either command or script", where=self.label)
        if self.arguments and not self.script:
            raise InvalidValue("arguments belong to a script", where=self.label)

    def local_paths(self) -> Sequence[str]:
        """Return the paths of the client that it is made of."""
        return [*super().local_paths(), *([self.script] if self.script else [])]

    def parts(self) -> list[Part]:
        """Return the files that it needs on the host, its script among them."""
        if not self.script:
            return super().parts()
        origin = Origin.parse(self.script)
        return [*super().parts(), Part.of("script", origin, self.contents, executable=True)]

    def do_start(self, context: Context) -> Launch:
        """Launch the command, once per start of the resource."""
        command = self.command or self._script_command()
        if not command:
            return Launch(exit=Exit(0, "FINISHED"))
        return self.launch(context, command, self.variables)

    @property
    def launches(self) -> bool:
        """Whether its start launches something on the host."""
        return bool(self.command or self.script)

    def _script_command(self) -> str:
        """Return the command that runs the script; empty without one."""
        if not self.script:
            return ""
        words = " ".join(map(quote, self.arguments))
        return f'exec "${{APP_HOME}}"/script/{quote(self.script.name)} {words}'.rstrip()
