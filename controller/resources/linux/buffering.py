"""Commands whose output is seen as it is printed."""

from __future__ import annotations

import shlex

from ...errors import InvalidValue

_LONGEST = 100_000  # Linux takes 128 kB in one argument (execve(2))

_TOLD = (
    "nepiq: this host lacks stdbuf, of GNU coreutils: with unbuffered=True only Python prints at "
    "once here"
)


def unbuffered(command: str) -> str:
    """Have the programs that a command starts write out each line at once.

    Where the host has no stdbuf(1) the command runs without it, and its stderr says so.

    Args:
        command: text for sh.

    Raises:
        InvalidValue: it is too long to be handed on.
    """
    quoted = shlex.quote(command)
    if len(quoted.encode("utf-8", "surrogateescape")) > _LONGEST:
        raise InvalidValue(
            f"a command of over {_LONGEST} bytes cannot be unbuffered",
            hint="bring it to the host as a file, by ec.upload, and run that",
        )
    return (
        f"set -- sh -c {quoted}\n"
        'if command -v stdbuf >/dev/null; then set -- stdbuf -oL -eL "$@"; '
        f"else echo {shlex.quote(_TOLD)} >&2; fi\n"
        'exec "$@"'
    )
