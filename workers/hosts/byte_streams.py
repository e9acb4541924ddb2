"""Streams of bytes to and from files of a host, over one channel each."""

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
    NepiqError,
)
from ..sessions import running_time
from ..sessions.answers import LINE, OUTPUT, SAID, misunderstood, too_long, whole
from ..sessions.session import Channel
from .attempt import DIRECTORY, MISSING

#: Bytes from which on openssl, which uses the processor's own instructions where sha256sum may
#: not, makes up for its slow start. The supervisor has the same number.
LARGE = 16_000_000

# Seconds for the whole of a line, and how often a host may ask for patience, every 10 s.
_LINE_SECONDS, _MOST_WAITS = 60.0, 1000


# Bytes of a long file for which a thread is woken, rather than for each packet of 32 kB.
_GATHERED = 1 << 19


@dataclass(frozen=True)
class Facts:
    """The facts of a file that a host is about to send.

    Attributes:
        size: its length in bytes; 0 also for what has none, such as files of /proc.
        mtime: when it was last changed, whole seconds of the host's clock.
        inode: its number in its file system; another one means another file.
    """

    size: int
    mtime: int
    inode: int


class Judged:
    """A channel whose lines are answers of the supervisor, or of a program like it.

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
        """Return the next line without its newline; empty at the end.

        Those that only say that a checksum takes its time are passed over.
        """
        for _ in range(_MOST_WAITS):
            line = self._line()
            if line != b"wait":
                return line
        raise misunderstood(b"wait", self.where)

    def _line(self) -> bytes:
        data, end = bytearray(self._rest), running_time.after(_LINE_SECONDS)
        while b"\n" not in data:
            if len(data) > LINE or end.expired:
                raise too_long(bytes(data), LINE, "a line")
            block = self.channel.read()
            if not block:
                break
            data += block
        line, _, rest = bytes(data).partition(b"\n")
        self._rest = rest
        return line

    def answer(self) -> str:
        """Return the next line, or raise the error that it stands for."""
        with self.placed():
            return self._judge(self.line(), complaint=self.channel.complaint)

    def expect(self, word: str) -> None:
        """Take the next line, which has to be that word."""
        answer = self.answer()
        if answer != word:
            raise misunderstood(answer, self.where)

    @contextlib.contextmanager
    def understood(self) -> Iterator[list[str]]:
        """Turn a ValueError into an error of the host about the words in the list."""
        words: list[str] = []
        try:
            yield words
        except NepiqError:  # some of ours are a ValueError too
            raise
        except ValueError as error:
            raise misunderstood(" ".join(words), self.where) from error

    def reason(self, error: HostError) -> NoReturn:
        """Raise the reason that the program gave before it ended, or else ``error``."""
        answer = b""
        with contextlib.suppress(HostError):
            answer = self.line()
        if answer:
            with self.placed():
                self._judge(answer)
        raise error

    def block(self, most: int | None) -> bytes:
        """Return the next bytes, at most ``most`` of them; empty at the end."""
        data = self._rest or self.channel.read(1 if most is None else min(most, _GATHERED))
        if most is None or len(data) <= most:
            self._rest = b""
            return data
        self._rest = data[most:]
        return data[:most]


class Stream:
    """A stream of bytes to or from a host. A base class."""

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

    def __init__(self, talk: Judged, forget: Callable[[], None], answer: str = "") -> None:
        super().__init__(talk)
        self._forget = forget
        try:
            with talk.understood() as words:
                words.append(answer or talk.answer())
                self.offset = whole(words[0].removeprefix("at "))
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
                self._talk.channel.write(data)
        except (Cancelled, DeadlineError):
            raise
        except HostError as error:
            # The program ended before its input did: it has said why, if it could.
            self._talk.reason(error)
        self.offset += len(data)

    def finish(self, sha256: str) -> None:
        """Finish the file, which has its name when this returns.

        Args:
            sha256: checksum of the whole file, in hexadecimal.

        Raises:
            HostError: it did not arrive whole or was changed; nothing is left of it.
        """
        self._talk.expect("got")
        with self._talk.placed():
            self._talk.channel.write(sha256.encode() + b"\n")
        self._talk.expect("ok")

    def give_up(self) -> None:
        """Remove from the host what has arrived, so that no call resumes it."""
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

    def __init__(self, talk: Judged, path: str, length: int | None = None) -> None:
        super().__init__(talk)
        self._path = path
        self.sha256 = ""
        try:
            with talk.placed(), talk.understood() as words:
                words.append(talk.line().decode("ascii", "replace"))
                if not words[0]:
                    raise self._failed()
                size, mtime, inode, left = words[0].split(" ")
                # Times before 1970 are negative.
                since = -whole(mtime[1:]) if mtime[:1] == "-" else whole(mtime)
                self.facts = Facts(whole(size), since, whole(inode))
                self._left = None if left == "-" else whole(left)
                if self._left is not None and length is not None and self._left > length:
                    raise ValueError(left)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        sizeless = 0
        while self._left is None or self._left:
            with self._talk.placed():
                block = self._talk.block(self._left)
            if not block:
                break
            sizeless += len(block) if self._left is None else 0
            if sizeless > OUTPUT:
                raise too_long(block, OUTPUT, "a file without a length")
            self._left = None if self._left is None else self._left - len(block)
            yield block
        if self._left is None:
            return
        with self._talk.placed():
            sum_line = self._talk.line()
        if self._left or not sum_line.startswith(b"sum"):
            raise self._failed()
        self.sha256 = sum_line[4:SAID].decode("ascii", "replace")

    def _failed(self) -> HostError:
        """Return the error with the reason why the program broke off."""
        code, where = self._talk.channel.code(), self._talk.where
        if code == MISSING:
            return FileMissing(f"cannot read {self._path}: there is no such file", where=where)
        if code == DIRECTORY:
            return IsDirectory(f"cannot read {self._path}: it is a directory", where=where)
        complaint = self._talk.channel.complaint
        return HostError(
            f"cannot read {self._path}: {complaint or 'it became shorter while it was read'}",
            where=where,
        )

    def __enter__(self) -> Outgoing:
        return self


def outgoing(file: str, offset: int, length: int | None, since: int) -> str:
    """Return the command that sends a file: facts, bytes, a line with their checksum.

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
