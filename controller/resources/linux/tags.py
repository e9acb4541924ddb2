"""NEPI's path variables, such as ``${RUN_HOME}``, in commands and environment variables.

They are environment variables, set only for a command that mentions them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from shlex import quote

#: The value of each, for a shell whose working directory is the run directory.
_PATHS = {
    "RUN_HOME": '"$PWD"',
    "APP_HOME": '"${PWD%/*}"',
    "CODE": '"${PWD%/*}/code"',
    "NODE_HOME": '"${PWD%/*/*}"',
    "EXP_HOME": '"${PWD%/*/*/*}"',
    "SHARE": '"${PWD%/*/*/*/*}/.usr/share"',
    "SRC": '"${PWD%/*/*/*/*}/.usr/src"',
    "BIN": '"${PWD%/*/*/*/*}/.usr/bin"',
    "LIB": '"${PWD%/*/*/*/*}/.usr/lib"',
}
_SHARED = ("SHARE", "SRC", "BIN", "LIB")
_TAG = re.compile(r"\$\{(" + "|".join([*_PATHS, "HOME"]) + r")\}")
_VARIABLE = re.compile(r"(\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$[A-Za-z_][A-Za-z0-9_]*)")


def resolve(command: str, env: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return a command and its variables with the path variables that they mention.

    A variable whose value mentions one is set by the shell that runs the command, and may mention
    others, as in ``PATH=${BIN}:$PATH``. Everything else is unchanged.

    Args:
        command: text for sh.
        env: its variables.

    Returns:
        The command and the variables, for a shell in the run directory.
    """
    tagged_env = {name: value for name, value in env.items() if _TAG.search(value)}
    used_tags = {name for text in (command, *tagged_env.values()) for name in _TAG.findall(text)}
    paths = [name for name in _PATHS if name in used_tags]
    if not paths and not tagged_env:
        return command, dict(env)
    words = [f"{name}={_PATHS[name]}" for name in paths]
    lines = [f"export {' '.join(words)}"] if words else []
    shared_directories = " ".join(f'"${name}"' for name in paths if name in _SHARED)
    lines += [f"mkdir -p {shared_directories} || exit"] if shared_directories else []
    lines += [f"export {name}={_expanding_word(value)}" for name, value in tagged_env.items()]
    rest = {name: value for name, value in env.items() if name not in tagged_env}
    return "; ".join([*lines, command]), rest


def _expanding_word(value: str) -> str:
    """Return a word of shell in which variables are expanded, and nothing else is."""
    parts = _VARIABLE.split(value)
    return "".join(f'"{part}"' if n % 2 else quote(part) for n, part in enumerate(parts) if part)
