"""An ns-3 on a host, and programs compiled against it."""

from __future__ import annotations

import hashlib
import io
import re
import shlex
import sys
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ...errors import HostError
from ...model import Context, Facts
from ..linux.compiler_output import first_errors

# Prints four lines: the folders of headers and libraries, the core library, and the compiler; then
# those of $folders whose programs are compiled. It first looks where an earlier run has found it,
# since a Python that looks for a package takes longer than all else.
_FIND = r"""
ready() {
    for folder in $folders; do [ ! -e "$folder/ready" ] || printf '%s\n' "$folder"; done
}
again() {
    [ -f "$1/ns3/core-module.h" ] && [ -e "$2/$3" ] && [ -x "$4" ] || return
    printf '%s\n' "$@"
    ready
    exit 0
}
try() {
    for include in "$1/include" "$1"/include/ns3*; do
        [ -f "$include/ns3/core-module.h" ] || continue
        for lib in "$1/lib64" "$1/lib" "$1"/lib/*-linux-gnu; do
            for core in "$lib"/libns3*-core$suffix.so "$lib"/libns3*-core$otherwise.so; do
                [ -e "$core" ] || continue
                printf '%s\n' "$include" "$lib" "${core##*/}"
                command -v g++ || command -v clang++ || command -v c++ || echo
                ready
                exit 0
            done
        done
    done
}
"""
_SEARCH = r"""
place='import importlib.util as u, sys
s = u.find_spec("ns3")
print(list(s.submodule_search_locations)[0] if s else "")'
if [ -n "$home" ]; then
    try "$home/build"
    try "$home"
    exit 0
fi
for python in "$@"; do
    found=$("$python" -c "$place" 2>/dev/null) && [ -n "$found" ] && try "$found"
done
try /usr/local
try /usr
"""

_CORE = re.compile(r"lib(?P<prefix>ns3[^-]*|ns3-dev)-core(?P<suffix>-\w+)?\.so")

# Their libraries need programs or libraries that a host may lack, or change what others do.
_LEFT_OUT = ("visualizer", "click", "openflow", "brite", "test")

# Two builds of the same wait for each other, and the second one finds the programs.
_BUILD = r"""
umask 077
mkdir -p {folder} && cd {folder} && exec 9>lock && flock 9 || exit
if [ -e ready ]; then cat >/dev/null; exit 0; fi
tar -x -f - || exit
set --
for library in {libraries}*{suffix}; do
    module=${{library#{libraries}}}
    case $module in {left_out}) ;; *) set -- "$@" "-l:${{library##*/}}" ;; esac
done
{{ {commands}; }} 2>&1 && : >ready
"""


class Installation(NamedTuple):
    """An ns-3 on a host.

    Attributes:
        include: folder of its headers.
        lib: folder of its libraries.
        prefix: how its libraries are called, as ``ns3.44``.
        suffix: what follows the name of a module, as ``-default``; empty for a release.
        compiler: path of the C++ compiler; empty if there is none.
        ready: folders of programs that were compiled for earlier runs, as found with it.
    """

    include: str
    lib: str
    prefix: str
    suffix: str
    compiler: str
    ready: frozenset[str] = frozenset()

    @property
    def version(self) -> str:
        """Its version, as ``3.44``, or ``dev``."""
        return self.prefix.removeprefix("ns").removeprefix("3-")

    @property
    def standard(self) -> str:
        """The option for the C++ standard that its headers are written in."""
        older = re.fullmatch(r"3\.(\d+)", self.version)
        return "-std=c++17" if older and int(older[1]) < 42 else "-std=c++20"


_T = TypeVar("_T")
_MOST_REMEMBERED = 1000
_lock = threading.Lock()
_memory: OrderedDict[tuple[str, ...], tuple[Facts, Any]] = OrderedDict()
# By the boot of a host and the directory of nepiq, and by what was asked for: where ns-3 was found;
# and a few folders of programs. That is only where to look first.
_MOST_FOLDERS = 8
_places: OrderedDict[tuple[str, ...], tuple[str, ...]] = OrderedDict()


def _remembered(context: Context, key: tuple[str, ...], look: Callable[[], _T]) -> _T:
    """Return what was found for a key on this host in this run, or find it now.

    So a run of a thousand programs asks each host once, as long as its session lasts.
    """
    facts = context.host.facts
    full = (context.run_dir.rsplit("/", 2)[0], *key)
    with _lock:
        known = _memory.get(full)
    if known is not None and known[0] is facts:
        value: _T = known[1]
        return value
    value = look()
    with _lock:
        _memory[full] = (facts, value)
        while len(_memory) > _MOST_REMEMBERED:
            _memory.popitem(last=False)
    return value


def find(
    context: Context, home: str, python: str, *, local: bool, profile: str = ""
) -> Installation:
    """Return the ns-3 of a host.

    Args:
        context: access to the host.
        home: folder of an ns-3 tree or installation; empty to look for the Python package.
        python: the Python of which the package ``ns3`` is used.
        local: True if the host is the worker machine, whose own Python is then tried too.
        profile: the build profile of its libraries, if their names have one; empty for any.

    Raises:
        HostError: there is none, or no compiler.
    """
    pythons = (python, *([sys.executable] if local else []))
    return _remembered(
        context, (home, profile, *pythons), lambda: _find(context, home, profile, pythons)
    )


def _find(context: Context, home: str, profile: str, pythons: Sequence[str]) -> Installation:
    suffix = {"": "*", "release": ""}.get(profile, f"-{profile}")
    otherwise = "" if profile else "*"
    kept = (context.host.facts.boot_id, context.run_dir.rsplit("/", 4)[0])
    with _lock:
        place, folders = _places.get((*kept, home, profile, *pythons)), _places.get(kept, ())
    script = (
        f"home={shlex.quote(home)} suffix='{suffix}' otherwise='{otherwise}'\n"
        f"folders={shlex.quote(' '.join(folders))}\n{_FIND}"
        f"{f'again {shlex.join(place)}' if place else ''}\n"
        f"set -- {shlex.join(pythons)}\n{_SEARCH}"
    )
    lines = context.host.run(script, mutates=False).text.split("\n")
    core = _CORE.fullmatch(lines[2]) if len(lines) >= 3 else None
    if core is None:
        what = f"ns-3 of build profile {profile}" if profile else "ns-3"
        raise HostError(
            f"no {what} in {home}"
            if home
            else f"this host has no {what} (looked for by {pythons[0]})",
            hint="install it there by: python3 -m pip install ns3; or set ns3Home to a built tree",
        )
    compiler = lines[3] if len(lines) > 3 else ""
    if not compiler:
        raise HostError(
            "this host has ns-3, but no C++ compiler", hint="install g++ there: apt-get install g++"
        )
    _keep((*kept, home, profile, *pythons), lines[:4])
    ready = frozenset(lines[4:])
    return Installation(lines[0], lines[1], core["prefix"], core["suffix"] or "", compiler, ready)


def _keep(key: tuple[str, ...], values: Sequence[str]) -> None:
    with _lock:
        _places[key] = tuple(values)
        _places.move_to_end(key)
        while len(_places) > _MOST_REMEMBERED:
            _places.popitem(last=False)


def build(
    context: Context,
    ns3: Installation,
    archive: bytes,
    programs: Mapping[str, Sequence[str]],
    options: Sequence[str] = (),
    *,
    every_module: Collection[str] = (),
) -> str:
    """Compile programs once per host, ns-3 and content, and return the folder that has them.

    What the compiler says is written to ``build.log`` in the run directory.

    Args:
        context: access to the host.
        ns3: what it is compiled against.
        archive: their files, a tar archive.
        programs: the names of their sources, by the name of each program.
        options: of the compiler.
        every_module: the programs that are linked with all modules, also with those that no source
            mentions, so that their types are known at run time.

    Raises:
        HostError: the compiler failed; the error has its first messages, with file and line.
    """
    sources = [name for names in programs.values() for name in names]
    parts = (*ns3[:-1], *programs, *sources, *options, *every_module)
    digest = hashlib.sha256("\0".join(parts).encode() + archive).hexdigest()[:20]
    home = context.run_dir.rsplit("/", 4)[0]
    folder = f"{home}/.usr/ns3/{digest}"
    if folder in ns3.ready:
        return folder
    built = _remembered(
        context,
        (folder,),
        lambda: _build(context, ns3, archive, programs, options, every_module, folder),
    )
    kept = (context.host.facts.boot_id, home)
    if not re.search(r"\s", folder):
        others = [one for one in _places.get(kept, ()) if one != folder]
        _keep(kept, [*others, folder][-_MOST_FOLDERS:])
    return built


def _build(
    context: Context,
    ns3: Installation,
    archive: bytes,
    programs: Mapping[str, Sequence[str]],
    options: Sequence[str],
    every_module: Collection[str],
    folder: str,
) -> str:
    if context.host.run(f"test -e {folder}/ready", check=False, mutates=False).code == 0:
        return folder
    names = [name for sources in programs.values() for name in sources]
    link = (f"-L{ns3.lib}", f"-Wl,--allow-shlib-undefined,-rpath,{ns3.lib}")
    needed = {True: "-Wl,--no-as-needed", False: "-Wl,--as-needed"}
    compiler = (ns3.compiler, *options, f"-I{ns3.include}")
    script = _BUILD.format(
        folder=shlex.quote(folder),
        libraries=shlex.quote(f"{ns3.lib}/lib{ns3.prefix}-"),
        suffix=f"{ns3.suffix}.so",
        left_out="|".join(f"{name}*" for name in _LEFT_OUT),
        commands=" &&\n".join(
            shlex.join((*compiler, *sources, *link, needed[program in every_module]))
            + f' "$@" -o {shlex.quote(program)}'
            for program, sources in programs.items()
        ),
    )
    context.log.info("compiling %s against ns-3 %s", " ".join(names), ns3.version)
    result = context.host.run(script, stdin=archive, check=False)
    said = result.stdout.decode("utf-8", "replace") + result.stderr.decode("utf-8", "replace")
    context.host.write("build.log", said.encode())
    if result.code:
        raise HostError(
            f"cannot compile {' '.join(names)}: {first_errors(said) or f'code {result.code}'}",
            hint="trace build has all that the compiler said",
        )
    return folder


def packed(contents: Mapping[str, str]) -> bytes:
    """Return files by name as a tar archive, the same bytes for the same content."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, text in contents.items():
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()
