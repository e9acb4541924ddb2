"""Programs of an ns-3 source tree on a host, built by its own script ``ns3``."""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from ...errors import FileMissing, HostError
from ...model import Context
from ..linux.compiler_output import first_errors

_LOCK = ".lock-ns3_linux_build"

# The tree is locked by its folder, so that no file is left there. The script ns3 refuses to work
# for a user named root in USER, as which a testbed lets users log in.
_BUILD = r"""
cd {home} && exec 9<. && flock 9 || exit
env -u USER ./ns3 build {name} 9<&- 2>&1
"""


class TreeProgram(NamedTuple):
    """A built program of an ns-3 tree.

    Attributes:
        path: its path on the host.
        version: the version of ns-3, as ``3.44``, or ``dev``.
    """

    path: str
    version: str


def build(context: Context, home: str, name: str, profile: str) -> TreeProgram:
    """Build a program of a tree, one build of the tree at a time, and return where it is.

    The program is not run by ``ns3 run``, which turns the signal that ended it into another exit
    code and separates arguments at blanks.

    Args:
        context: access to the host.
        home: folder of a configured ns-3 tree.
        name: the program as ``ns3 run`` accepts it: ``first``, ``scratch/lab/first``, ``first.cc``.
        profile: the build profile that the tree must have; empty for any.

    Raises:
        HostError: the tree has another profile or no such program, or the build failed.
    """
    configured = _text(_lock(context, home), "BUILD_PROFILE")
    if profile and profile != configured:
        raise HostError(
            f"the ns-3 in {home} is configured for the build profile {configured}, not {profile}",
            hint=f"run there: ./ns3 configure -d {profile}; or set buildProfile to {configured}",
        )
    command = _BUILD.format(home=shlex.quote(home), name=shlex.quote(name))
    context.log.info("building %s in %s", name, home)
    result = context.host.run(command, check=False)
    output = (result.stdout + result.stderr).decode("utf-8", "replace")
    context.host.write("build.log", output.encode())
    if result.code:
        raise HostError(
            f"ns-3 cannot build {name} in {home}: {first_errors(output) or f'code {result.code}'}",
            hint="trace build has all output; ./ns3 show targets lists the programs",
        )
    # The build of a new program writes the list anew.
    lock = _lock(context, home)
    paths = [path for path in _programs(lock) if _names(path, lock, name)]
    if len(paths) != 1:
        found = f"{len(paths)} programs named {name}: {', '.join(paths)}"
        raise HostError(
            f"the ns-3 in {home} has {found if paths else f'no program {name}'}",
            hint="./ns3 show targets lists the programs; a longer name is scratch/NAME",
        )
    return TreeProgram(paths[0], _text(lock, "VERSION").removeprefix("3-"))


def _lock(context: Context, home: str) -> str:
    """Return the file in which the tree's configuration is kept, assignments in Python."""
    try:
        return context.host.read(f"{home}/{_LOCK}").decode("utf-8", "replace")
    except FileMissing:
        raise HostError(
            f"{home} is not a configured tree of ns-3 3.36 or newer",
            hint="run there: ./ns3 configure; or set program to the path of a built program",
        ) from None


def _text(lock: str, name: str) -> str:
    match = re.search(rf"^{name} = '([^'\n]*)'", lock, re.MULTILINE)
    return match[1] if match else ""


def _programs(lock: str) -> list[str]:
    match = re.search(r"^ns3_runnable_programs = \[(.*?)\]", lock, re.MULTILINE | re.DOTALL)
    return [path.strip() for path in re.findall(r"'([^']*)'", match[1])] if match else []


def _names(path: str, lock: str, name: str) -> bool:
    """Return whether a program has a name: the end of its path, without version and profile."""
    *folders, file = path.split("/")
    profile = _text(lock, "BUILD_PROFILE")
    base = file.removeprefix(f"ns{_text(lock, 'VERSION')}-")
    base = base.removesuffix("" if profile == "release" else f"-{profile}")
    if "scratch" in folders:
        # In a subfolder of scratch, the name of the file begins with those of the subfolders.
        below = folders[folders.index("scratch") + 1 :]
        base = base.removeprefix("".join(f"{folder}_" for folder in below))
    return "/".join(["", *folders, base]).endswith("/" + name.removesuffix(".cc"))
