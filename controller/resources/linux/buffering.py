"""Commands with line-buffered output."""

from __future__ import annotations

import shlex

from ...errors import InvalidValue

_MAX_BYTES = 100_000  # Linux limits one argument to 128 kB (execve(2))

_WARNING = (
    "nepiq: this host lacks stdbuf (GNU coreutils): unbuffered=True has an effect on Python only"
)


def unbuffered(command: str) -> str:
    """Return a command whose programs write each line of output at once.

    If the host has no stdbuf(1), the command runs without it and stderr gets a warning.

    Args:
        command: text for sh.

    Raises:
        InvalidValue: the command is too long for an argument.
    """
    argument = shlex.quote(command)
    if len(argument.encode("utf-8", "surrogateescape")) > _MAX_BYTES:
        raise InvalidValue(
            f"a command of over {_MAX_BYTES} bytes cannot be unbuffered",
            hint="upload it to the host as a file, by ec.upload, and run that",
        )
    return (
        f"set -- sh -c {argument}\n"
        'if command -v stdbuf >/dev/null; then set -- stdbuf -oL -eL "$@"; '
        f"else echo {shlex.quote(_WARNING)} >&2; fi\n"
        'exec "$@"'
    )
