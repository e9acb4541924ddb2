"""Answers of hosts: limits of their length, and the errors of those that make no sense.

A host may be broken, or another machine than it should be: nothing that it sends may do more than
make what concerns that host fail.
"""

from __future__ import annotations

import re

from ...controller.errors import AnswerError

#: Bytes of one line: of an answer, or of a journal, whose lines have less than 4000.
LINE = 8192
#: Bytes of a line that a resource's own program writes; see :meth:`Host.open`.
USER_LINE = 1 << 20
#: Bytes of the answer of a supervisor, with what it complains of.
ANSWER = 1 << 20
#: Bytes of both outputs of a command that is waited for, of a file that is read at once, and of
#: one that has no length, such as those of /proc.
OUTPUT = 32 << 20
#: Characters of a host's output that are kept for an error.
SAID = 1000

_SHOWN = 80
_WHOLE = re.compile(r"[0-9]{1,18}")
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def shown(output: bytes | str) -> str:
    """Return the beginning of a host's output, in plain ASCII, in quotes."""
    data = output.encode("utf-8", "surrogateescape") if isinstance(output, str) else output
    return repr(bytes(data[:_SHOWN]))[1:] + ("..." if len(data) > _SHOWN else "")


def misunderstood(output: bytes | str, where: str = "") -> AnswerError:
    """Return the error of an answer that makes no sense."""
    return AnswerError(
        f"the host's answer is not understood: {shown(output)}",
        where=where,
        hint="something else answers than the sh(1) and the tools that nepiq needs: try "
        "ssh HOST 'echo ok', and see ~/.bashrc and the like there",
    )


def too_long(output: bytes | str, most: int, what: str) -> AnswerError:
    """Return the error of an output without end.

    Args:
        output: its beginning.
        most: how many bytes are read of it.
        what: what it is, with an article.
    """
    return AnswerError(
        f"the host sent {what} of more than {most} bytes, which begins with {shown(output)}",
        hint="what is larger belongs in a file on the host",
    )


def whole(text: str) -> int:
    """Read a whole number that is not negative.

    Raises:
        ValueError: it is none.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"no whole number: {text[:_SHOWN]!r}")
    return int(text)


def moment(text: str) -> float:
    """Read seconds of a host's clock.

    Raises:
        ValueError: they are none.
    """
    if not _SECONDS.fullmatch(text):
        raise ValueError(f"no seconds: {text[:_SHOWN]!r}")
    return float(text)


class Collected:
    """The two outputs of a command, as they come.

    Args:
        most: bytes that both may have together.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._outputs = (bytearray(), bytearray())

    def add(self, number: int, data: bytes) -> None:
        """Keep some of standard output (0) or standard error (1).

        Raises:
            AnswerError: it is too much.
        """
        self._outputs[number].extend(data)
        if sum(map(len, self._outputs)) > self._most:
            longer = max(self._outputs, key=len)
            raise too_long(bytes(longer[: _SHOWN + 1]), self._most, "an output")

    def outputs(self) -> tuple[bytes, bytes]:
        """Return both outputs."""
        stdout, stderr = self._outputs
        return bytes(stdout), bytes(stderr)
