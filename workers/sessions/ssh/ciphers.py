"""Ciphers of a connection: their order, and the option Ciphers of ssh_config(5)."""

from __future__ import annotations

from collections.abc import Sequence

from .ssh_config import matches

# GCM needs no separate MAC, which makes it the fastest of what both sides know: one call of the
# library, which uses the processor's own instructions, encrypts and authenticates a message.
_FASTEST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")


def chosen(known: Sequence[str], option: str = "") -> tuple[str, ...]:
    """Return the ciphers to offer, the first that the host has too is used.

    Args:
        known: those of this side.
        option: the value of Ciphers: a list of names, or changes to the usual list: ``-`` and
            patterns to remove, ``^`` and names to put first, ``+`` and names to append.

    Raises:
        ValueError: this side has none of them.
    """
    usual = [*(name for name in _FASTEST if name in known)]
    usual += [name for name in known if name not in usual]
    sign, names = option[:1], option.lstrip("+-^").split(",")
    if sign == "-":
        result = [name for name in usual if not matches(name, names)]
    elif sign in ("", "+"):  # all that could be appended are there
        result = usual
    else:
        result = [name for name in names if name in known]
        if sign == "^":
            result += [name for name in usual if name not in result]
    if not result:
        raise ValueError(f"Ciphers {option}: a worker has none but {', '.join(usual)}")
    return tuple(dict.fromkeys(result))
