"""NEPI's names for places on a host, such as ``${RUN_HOME}``, in commands and variables.

They are variables of the environment, set only for a command that mentions one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from shlex import quote

#: What each is, for a shell whose working directory is the run directory.
_PLACES = {
    "RUN_HOME": '"$PWD"',
    "APP_HOME": '"${PWD%/*}"',
    "NODE_HOME": '"${PWD%/*/*}"',
    "EXP_HOME": '"${PWD%/*/*/*}"',
    "SHARE": '"${PWD%/*/*/*/*}/.usr/share"',
    "SRC": '"${PWD%/*/*/*/*}/.usr/src"',
    "BIN": '"${PWD%/*/*/*/*}/.usr/bin"',
    "LIB": '"${PWD%/*/*/*/*}/.usr/lib"',
}
_SHARED = ("SHARE", "SRC", "BIN", "LIB")
_TAG = re.compile(r"\$\{(" + "|".join([*_PLACES, "HOME"]) + r")\}")
_VARIABLE = re.compile(r"(\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$[A-Za-z_][A-Za-z0-9_]*)")


def resolve(command: str, env: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Give a command the places that it or its variables mention.

    A variable with a tag in its value is set by the shell that runs the command, and may mention
    others, as in ``PATH=${BIN}:$PATH``. Everything else stays as it is.

    Args:
        command: text for sh.
        env: its variables.

    Returns:
        Both, ready to be run in the run directory.
    """
    tagged = {name: value for name, value in env.items() if _TAG.search(value)}
    used = {name for text in (command, *tagged.values()) for name in _TAG.findall(text)}
    places = [name for name in _PLACES if name in used]
    if not places and not tagged:
        return command, dict(env)
    words = [f"{name}={_PLACES[name]}" for name in places]
    lines = [f"export {' '.join(words)}"] if words else []
    shared = " ".join(f'"${name}"' for name in places if name in _SHARED)
    lines += [f"mkdir -p {shared} || exit"] if shared else []
    lines += [f"export {name}={_expanding(value)}" for name, value in tagged.items()]
    rest = {name: value for name, value in env.items() if name not in tagged}
    return "; ".join([*lines, command]), rest


def _expanding(value: str) -> str:
    """A word of shell in which variables are expanded, and nothing else is."""
    parts = _VARIABLE.split(value)
    return "".join(f'"{part}"' if n % 2 else quote(part) for n, part in enumerate(parts) if part)
