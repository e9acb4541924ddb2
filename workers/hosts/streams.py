"""A file on its way to or from a host, over one channel."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn

from ...controller.errors import (
    Cancelled,
    DeadlineError,
    FileMissing,
    HostError,
    IsDirectory,
)
from .asking import DIRECTORY, MISSING
from .session import Channel

#: Bytes from which on openssl, which uses the processor's own instructions where sha256sum may
#: not, makes up for its slow start. The supervisor has the same number.
LARGE = 16_000_000


@dataclass(frozen=True)
class Facts:
    """What a host says of a file that it is about to send.

    Attributes:
        size: its length in bytes; 0 also for what has none, such as files of /proc.
        mtime: when it was last changed, whole seconds of the host's clock.
        inode: its number in its file system; another one means another file.
    """

    size: int
    mtime: int
    inode: int


class Judged:
    """A channel whose lines are answers; what the program complains of is what went wrong.

    Args:
        channel: the channel.
        judge: takes an answer, and raises what it stands for.
        placed: has errors say where.
        where: the same, for errors made here.
    """

    def __init__(
        self,
        channel: Channel,
        judge: Callable[..., str],
        placed: Callable[[], AbstractContextManager[None]],
        where: str,
    ) -> None:
        self.channel = channel
        self.placed = placed
        self.where = where
        self._judge = judge
        self._rest = b""

    def line(self) -> bytes:
        """The next line without its newline; empty at the end.

        Those that only say that a checksum takes its time are passed over.
        """
        while (line := self._line()) == b"wait":
            pass
        return line

    def _line(self) -> bytes:
        parts = [self._rest]
        while b"\n" not in parts[-1]:
            block = self.channel.read()
            if not block:
                break
            parts.append(block)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line

    def answer(self) -> str:
        """The next line, unless it says no."""
        with self.placed():
            return self._judge(self.line(), complaint=self.channel.complaint)

    def reason(self, error: HostError) -> NoReturn:
        """Raise what the program said before it ended, or ``error`` if it said nothing."""
        said = b""
        with contextlib.suppress(HostError):
            said = self.line()
        if said:
            with self.placed():
                self._judge(said)
        raise error

    def block(self, most: int | None) -> bytes:
        """The next bytes, ``most`` of them or fewer; empty at the end."""
        found = self._rest or self.channel.read()
        if most is None or len(found) <= most:
            self._rest = b""
            return found
        self._rest = found[most:]
        return found[:most]


class Stream:
    """Bytes on their way to or from a host. A base class."""

    def __init__(self, talk: Judged) -> None:
        self._talk = talk

    def close(self) -> None:
        """End the program on the host. May be called from another thread."""
        self._talk.channel.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Incoming(Stream):
    """Bytes that a host is given: some may have come before, by another stream.

    Attributes:
        offset: how many are there; it is the next byte's place.
    """

    def __init__(self, talk: Judged, forget: Callable[[], None]) -> None:
        super().__init__(talk)
        self._forget = forget
        try:
            self.offset = int(talk.answer().removeprefix("at "))
        except BaseException:
            self.close()
            raise

    def write(self, data: bytes | memoryview) -> None:
        """Give it the next bytes.

        Raises:
            HostError: it cannot take them, and says why.
        """
        try:
            with self._talk.placed():
                # Channels take no views, and only what was cut is one.
                self._talk.channel.write(data if isinstance(data, bytes) else bytes(data))
        except (Cancelled, DeadlineError):
            raise
        except HostError as error:
            # The program ended before its input did: it has said why, if it could.
            self._talk.reason(error)
        self.offset += len(data)

    def finish(self, sha256: str) -> None:
        """Say that all has been given; the file has its name when this returns.

        Args:
            sha256: checksum of the whole file, in hexadecimal.

        Raises:
            HostError: it did not arrive whole or was changed; nothing is left of it.
        """
        self._talk.answer()
        with self._talk.placed():
            self._talk.channel.write(sha256.encode() + b"\n")
        self._talk.answer()

    def give_up(self) -> None:
        """Have the host forget what it was given; nobody is to go on with it."""
        self.close()
        self._forget()

    def __enter__(self) -> Incoming:
        return self


class Outgoing(Stream):
    """Bytes of a file of a host; iterate over it.

    Attributes:
        facts: what the host says of the file.
        sha256: what the host says of the bytes since the place that was asked for, once all are
            read; empty if it cannot tell.
    """

    def __init__(self, talk: Judged, path: str) -> None:
        super().__init__(talk)
        self._path = path
        self.sha256 = ""
        try:
            with talk.placed():
                head = talk.line().decode("ascii", "replace").split()
            if len(head) != 4:
                raise self._failed()
        except BaseException:
            self.close()
            raise
        self.facts = Facts(*map(int, head[:3]))
        self._left = None if head[3] == "-" else int(head[3])

    def __iter__(self) -> Iterator[bytes]:
        while self._left is None or self._left:
            with self._talk.placed():
                block = self._talk.block(self._left)
            if not block:
                break
            self._left = None if self._left is None else self._left - len(block)
            yield block
        if self._left is None:
            return
        with self._talk.placed():
            sum_line = self._talk.line()
        if self._left or not sum_line.startswith(b"sum"):
            raise self._failed()
        self.sha256 = sum_line[4:].decode("ascii", "replace")

    def _failed(self) -> HostError:
        """Why the program broke off."""
        code, where = self._talk.channel.code(), self._talk.where
        if code == MISSING:
            return FileMissing(f"cannot read {self._path}: there is no such file", where=where)
        if code == DIRECTORY:
            return IsDirectory(f"cannot read {self._path}: it is a directory", where=where)
        said = self._talk.channel.complaint
        return HostError(
            f"cannot read {self._path}: {said or 'it became shorter while it was read'}",
            where=where,
        )

    def __enter__(self) -> Outgoing:
        return self


def outgoing(file: str, offset: int, length: int | None, since: int) -> str:
    """The command that sends a file: a line of facts, the bytes, a line with their checksum.

    Args:
        file: the file, quoted for a shell.
        offset: first byte to send.
        length: how many; all that are there if None.
        since: first byte of what the checksum is of.
    """
    most = "$left" if length is None else f"$(( left < {length} ? left : {length} ))"
    return f"""file={file}
[ -e "$file" ] || exit {MISSING}
[ ! -d "$file" ] || exit {DIRECTORY}
[ -f "$file" ] || {{
    echo "it is a $(LC_ALL=C stat -L -c %F -- "$file"), no regular file" >&2
    exit 1
}}
[ -r "$file" ] || {{ echo "Permission denied" >&2; exit 1; }}
stat=$(stat -L -c '%s %Y %i' -- "$file") || exit
size=${{stat%% *}} left=$(( size > {offset} ? size - {offset} : 0 ))
# What became a FIFO meanwhile is not waited for.
take() {{
    dd if="$file" bs=262144 iflag=nonblock,fullblock,skip_bytes,count_bytes \\
        skip=$1 count=$2 status=none
}}
if [ "$size" -eq 0 ]; then # a file of /proc or the like
    echo "$stat -"
    dd if="$file" bs=262144 iflag=nonblock status=none |
        tail -c +{offset + 1}{"" if length is None else f" | head -c {length}"}
    exit
fi
count={most}
echo "$stat $count"
take {offset} "$count" || exit
count=$(( count + {offset} - {since} )) sum=sha256sum
[ "$count" -lt {LARGE} ] || ! command -v openssl >/dev/null || sum='openssl dgst -sha256 -r'
if command -v "${{sum%% *}}" >/dev/null; then
    while [ "$count" -ge {LARGE} ] && sleep 10 >/dev/null 2>&1; do echo wait; done &
    sum=$(take {since} "$count" | $sum)
    kill $! 2>/dev/null
    echo "sum ${{sum%% *}}"
else
    echo "sum"
fi
"""
