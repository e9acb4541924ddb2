"""linux::ns3::Program: the user's own simulation program."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Collection, Mapping
from typing import Any

from ...errors import HostError, InvalidValue
from ...errors.text import last_lines, quoted
from ...model import AbsolutePath, Action, Attribute, Context, Duration, Flag, Later, Launch, Trace
from ..linux.host_command import HostCommand
from . import installation, launcher, tree
from .sources import SourceAttribute, SourceFiles

#: Compiler options by build profile, as ns-3's own build uses them.
_OPTIONS = {
    "debug": ("-O0", "-g", "-DNS3_ASSERT_ENABLE", "-DNS3_LOG_ENABLE"),
    "default": ("-O2", "-g", "-DNS3_ASSERT_ENABLE", "-DNS3_LOG_ENABLE"),
    "release": ("-O3",),
    "optimized": ("-O3", "-march=native", "-mtune=native"),
}

# Prints the first Python that has the bindings of ns-3, and their version.
_FIND_PYTHON = r"""
check='import importlib.metadata as m, importlib.util as u, sys
missing = [name for name in ("ns", "cppyy") if u.find_spec(name) is None]
if missing:
    sys.exit(f"{sys.executable} lacks {chr(32).join(missing)}")
try:
    version = m.version("ns3")
except m.PackageNotFoundError:
    version = ""
print(sys.executable, version, sep="\n")'
for python; do
    "$python" -c "$check" && exit
done
exit 1
"""


class Arguments(dict[str, str]):
    """Arguments of a program by name: ``{"nPackets": 3, "verbose": True}``.

    They become ``--nPackets=3 --verbose=true``, the form of ns-3's CommandLine.
    """

    @classmethod
    def parse(cls, value: Any) -> Arguments:
        """Return the arguments in a mapping, as text."""
        if value == "":
            return cls()
        if not isinstance(value, Mapping):
            raise InvalidValue('must be a mapping, as {"nPackets": 3, "verbose": True}')
        for name in value:
            if not re.fullmatch(r"[A-Za-z0-9_][\w.:/-]*", name, re.ASCII):
                raise InvalidValue(f"must have names without dashes, unlike {quoted(name)}")
        return cls((name, _argument(name, item)) for name, item in value.items())


def _argument(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    number = isinstance(value, (int, float)) and math.isfinite(value)
    if not number and not (isinstance(value, str) and "\0" not in value):
        raise InvalidValue(f"must set {name} to text, a number, True or False")
    return str(value)


class ProgramName(str):
    """The absolute path of a program, or the name of one in an ns-3 tree."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> ProgramName:
        """Return a path, or a name as ``./ns3 run`` accepts it."""
        text = value if isinstance(value, str) else ""
        path = text.startswith("/") and "\0" not in text
        name = re.fullmatch(r"\w[\w.+-]*(/\w[\w.+-]*)*", text, re.ASCII)
        if not path and not name:
            raise InvalidValue("must be an absolute path, or a name such as first or scratch/first")
        return cls(text)


class Program(HostCommand, rtype="linux::ns3::Program"):
    """A simulation program of the user, in C++ or Python, run by a process of its own.

    Its files are brought along (``source``) or are on the host (``program``). Sources in C++ are
    compiled when the resource is deployed, once per host, ns-3 and content. The working directory
    is the run directory, so that files that it writes there can be fetched as traces.

    At most ``perHost`` programs run on a host at the same time, those of other experiments of the
    same login user included. Another one is STARTED, and waits for one of them to end.
    """

    source = SourceAttribute(
        help="Files of the client that make the program: a path or a list, .cc and .h, or .py, of "
        'which the first is run; or {"name": "text"}.'
    )
    program = Attribute(
        ProgramName,
        help="A program on the host: the path of a built one (or of a .py), or the name of one in "
        "the ns-3 tree ns3Home, which is built by ./ns3 build.",
        flags=Flag.DESIGN,
    )
    arguments = Attribute(
        Arguments,
        "",
        help='Its arguments, as {"nPackets": 3, "verbose": True}: --nPackets=3 --verbose=true.',
        flags=Flag.DESIGN,
    )
    seed = Attribute(int, help="RngSeed of ns-3.", range=(1, 2**32 - 1), flags=Flag.DESIGN)
    run = Attribute(int, help="RngRun of ns-3.", range=(0, 2**64 - 1), flags=Flag.DESIGN)
    buildProfile = Attribute(
        str,
        allowed=("", *_OPTIONS),
        help="Build profile of ns-3: debug, default, release or optimized; by default that of the "
        "ns-3 found. It decides the compiler options of source.",
        flags=Flag.DESIGN,
    )
    stopAfter = Attribute(
        Duration,
        "0s",
        help="Real time after which it is ended as FAILED; 0: no limit.",
        flags=Flag.DESIGN,
    )
    perHost = Attribute(
        int,
        help="Greatest number of programs that run on the host at the same time; by default its "
        "processors; 0: no limit.",
        range=(0, 1000),
        flags=Flag.DESIGN,
    )
    ns3Home = Attribute(
        AbsolutePath,
        help="Folder of a built ns-3 on the host, 3.36 or newer; by default its Python package.",
        flags=Flag.DESIGN,
    )
    python = Attribute(
        str,
        "python3",
        help="The host's Python that has the package ns3, and runs .py.",
        flags=Flag.DESIGN,
    )
    startTimeout = Attribute(
        Duration,
        "30s",
        help="Time limit of startedWhen, the wait because of perHost included.",
        flags=Flag.DESIGN,
    )
    command = Attribute(str, help="The command that is run, as reported.", flags=Flag.NO_WRITE)
    version = Attribute(
        str, help="The version of ns-3; empty if program is a path.", flags=Flag.FACT
    )

    build = Trace(help="Output of the compiler, if it had to run.", file="build.log")

    def deadline_for(self, action: Action) -> float:
        """Return the time limit of a step; the deployment may have to compile ns-3 itself."""
        return max(super().deadline_for(action), 3600.0 if action is Action.DEPLOY else 0.0)

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse a description that has no program, or two."""
        if bool(self.source) == bool(self.program):
            raise InvalidValue("set either source or program", where=self.label)
        if self.program and not self.program.startswith("/") and not self.ns3Home:
            raise InvalidValue(
                f"program {self.program} is a name, which needs ns3Home", where=self.label
            )

    def do_deploy(self, context: Context) -> Later | None:
        """Put its files in place, find ns-3, and compile the program if it is not in the cache.

        Raises:
            HostError: the host lacks ns-3, a compiler or the program, or the compiler failed.
        """
        later = super().do_deploy(context)
        if later is not None:
            return later
        if self.perHost != 0 and self.sudo:
            # Else the first program, as root, would make files that the user cannot open.
            folder = shlex.quote(self._slots(context))
            context.host.run(f"umask 077; mkdir -p {folder} && : >>{folder}/queue")
        words = self._from_source(context, self.source) if self.source else self._on_host(context)
        self.command = shlex.join([*words, *(f"--{n}={v}" for n, v in self.arguments.items())])
        return None

    def do_start(self, context: Context) -> Launch:
        """Launch the program, which first waits for a slot of the host."""
        source = self.source or SourceFiles()
        for name in source.scripts:
            context.host.write(name, source[name].encode())
        count = self.node.cpus if self.perHost is None else self.perHost
        command = launcher.script(
            shlex.split(self.command),
            slots=self._slots(context),
            count=count or 0,
            stop_after=self.stopAfter,
        )
        return self.launch(context, command, self._variables())

    def _from_source(self, context: Context, source: SourceFiles) -> list[str]:
        """Return the command of a program that was brought along, without arguments."""
        if source.scripts:
            return [self._find_python(context), source.scripts[0]]
        ns3 = installation.find(
            context,
            self.ns3Home or "",
            self.python,
            local=self.node.placement().local,
            profile=self.buildProfile,
        )
        self.version = ns3.version
        profile = self.buildProfile or ns3.suffix.removeprefix("-")
        name = "ns3-" + source.compiled[0].rpartition(".")[0]
        options = (ns3.standard, "-pthread", *_OPTIONS.get(profile, _OPTIONS["default"]))
        folder = installation.build(
            context, ns3, installation.packed(source), {name: source.compiled}, options
        )
        return [f"{folder}/{name}"]

    def _on_host(self, context: Context) -> list[str]:
        """Return the command of a program that the host has, without arguments."""
        program = self.program or ""
        if not program.startswith("/"):
            built = tree.build(context, self.ns3Home or "", program, self.buildProfile)
            self.version = built.version
            return [built.path]
        script = program.endswith(".py")
        test = f"test {'-r' if script else '-x'} {shlex.quote(program)}"
        if context.host.run(test, check=False, mutates=False, sudo=self.sudo).code:
            raise HostError(f"this host has no {'file' if script else 'program'} {program}")
        return [self._find_python(context), program] if script else [program]

    def _find_python(self, context: Context) -> str:
        """Return the Python that has the bindings of ns-3."""
        pythons = [self.python, *([sys.executable] if self.node.placement().local else [])]
        script = f"set -- {shlex.join(pythons)}\n{_FIND_PYTHON}"
        result = context.host.run(script, env=self._variables(), check=False, mutates=False)
        if result.code:
            problem = last_lines(result.stderr.decode("utf-8", "replace"))
            raise HostError(
                f"no Python with ns-3 on this host: {problem}",
                hint="install it there by: python3 -m pip install ns3; or set python",
            )
        path, _, self.version = result.text.partition("\n")
        return path

    def _variables(self) -> dict[str, str]:
        """Return the variables of the program.

        Seed and run are global values of ns-3, which it reads from a variable even if the program
        has no CommandLine. What the user put there comes first.
        """
        env = self.variables
        numbers = {"RngSeed": self.seed, "RngRun": self.run}
        values = [f"{name}={value}" for name, value in numbers.items() if value is not None]
        if values:
            _extend(env, "NS_GLOBAL_VALUE", ";", *values)
        if self.ns3Home:
            _extend(env, "LD_LIBRARY_PATH", ":", f"{self.ns3Home}/build/lib")
            _extend(env, "PYTHONPATH", ":", f"{self.ns3Home}/build/bindings/python")
        return env

    def _slots(self, context: Context) -> str:
        # Several hosts may have the same home.
        home = context.run_dir.rsplit("/", 4)[0]
        return f"{home}/.usr/ns3/slots/{context.host.facts.hostname}"


def _extend(env: dict[str, str], name: str, separator: str, *values: str) -> None:
    given = [env[name]] if env.get(name) else []
    env[name] = separator.join([*given, *values])
