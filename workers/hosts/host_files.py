"""The files of a host, as an attempt of a step reads and writes them; whole or as streams."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...controller.engine.transfer.regular_files import open_to_read
from ...controller.errors import FileMissing
from ...controller.model.contents import Content
from ..sessions.session import Channel
from . import byte_streams, content_cache, directories
from .attempt import MISSING, Attempt
from .paths import is_own

#: Bytes that a file of the worker machine is read in at a time.
BLOCK = 1 << 20
#: Seconds without data from the host after which a stream of bytes counts as lost.
SILENCE = 60.0

CHANGED = "it was changed while it was read; fetch it again"


class HostFiles:
    """The files of a host. Relative paths are from the run directory of the attempt's resource.

    Args:
        attempt: the attempt of a step that acts on the host.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    # -- whole --------------------------------------------------------------------------------

    def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Read a file; see :meth:`Host.read`.

        Raises:
            FileMissing: there is no such file.
        """
        file = self._attempt.file(path)
        body = "exec cat" if offset == 0 else f"tail -c {-int(offset)}"
        body = f"tail -c +{int(offset) + 1}" if offset > 0 else body
        body = body if length is None else f"{body.removeprefix('exec ')} | head -c {int(length)}"
        return self._attempt.look(
            f"[ -e {file} ] || exit {MISSING}; "
            f"[ ! -p {file} ] || {{ echo 'it is a FIFO' >&2; exit 1; }}; "
            f"exec <{file} || exit; {body}",
            f"read {path}",
        )

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a file whole; see :meth:`Host.write`. Directories on its way are made."""
        self._attempt.change(
            "write", *self._attempt.start, path, f"{mode:o}", len(data), stdin=data
        )

    def put(self, source: str, path: str, *, mode: int = 0o644) -> None:
        """Copy a file of the worker machine to the host, over one channel.

        Raises:
            FileMissing: the worker machine cannot read it.
            HostError: the host cannot keep it, or it changed on the way.
        """
        with self._on_worker(source), open_to_read(Path(source)) as file:
            digest = hashlib.sha256()
            length = os.fstat(file.fileno()).st_size
            with self.receive(path, mode=mode, length=length) as stream:
                while block := file.read(BLOCK):
                    digest.update(block)
                    stream.write(block)
                stream.finish(digest.hexdigest())

    def get(self, path: str, target: str) -> None:
        """Copy a file of the host to the worker machine, over one channel.

        Raises:
            FileMissing: there is no such file, or the worker machine cannot write its copy.
            HostError: it changed while it was read.
        """
        goal = Path(target)
        part = goal.with_name(f".{goal.name}.{secrets.token_hex(4)}.part")
        with self._on_worker(target):
            try:
                with part.open("xb") as file, self.send(path) as stream:
                    digest = hashlib.sha256()
                    for block in stream:
                        digest.update(block)
                        file.write(block)
                if stream.sha256 not in ("", digest.hexdigest()):
                    raise self._attempt.error(
                        f"{path} arrived other than it was sent", hint=CHANGED
                    )
                part.replace(goal)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def listdir(self, path: str = ".") -> Sequence[str]:
        """Names in a directory; see :meth:`Host.listdir`.

        What the supervisor keeps in the run directory is left out.

        Raises:
            FileMissing: there is no such directory.
        """
        body = (
            f"cd {self._attempt.file(path)} 2>/dev/null || exit {MISSING}; for name in .* *; do "
            '[ ! -e "$name" ] && [ ! -L "$name" ] || printf "%s\\0" "$name"; done'
        )
        output = self._attempt.look(body, f"list {path}").decode("utf-8", "surrogateescape")
        names = set(output.split("\0")) - {"", ".", ".."}
        return sorted(name for name in names if not is_own(name))

    def keep(self, content: Content, pieces: content_cache.Pieces | None) -> bool:
        """Have the host keep a content in its cache; see :meth:`Host.keep`.

        Args:
            content: the content.
            pieces: its bytes; None if there are none.

        Returns:
            False while another request brings it, or Redis does not answer.

        Raises:
            HostError: there is no Redis to take it from, Redis has it no more, or the host cannot
                store it.
        """
        if pieces is None:
            raise self._attempt.error(f"there is no source of the content {content.sha256[:12]}")
        words = (*self._attempt.start, content.sha256, content.size)
        with self._attempt.placed():
            return content_cache.keep(
                self._channel(self._attempt.command("keep", *words)), content, pieces
            )

    # -- as streams ---------------------------------------------------------------------------

    def receive(
        self, path: str, *, length: int, mode: int | None = 0o644, transfer: str = ""
    ) -> byte_streams.Incoming:
        """Open a stream for the bytes of a file, which gets its name when all are there.

        Args:
            path: where to; relative to the run directory, which is made, or absolute.
            length: how many bytes it has.
            mode: its permissions; None for an archive of what the directory ``path`` is to hold.
            transfer: names what may be continued by another call; made up if empty.

        Raises:
            FencedError: a newer attempt has acted, or the run has ended on this host.
            HostError: the host cannot make the file; says why.
        """
        name = transfer or secrets.token_hex(8)
        form = (path, "tree" if mode is None else f"{mode:o}", length, name)
        talk = self._channel(self._attempt.command("receive", *self._attempt.start, *form))
        return byte_streams.Incoming(talk, lambda: self._attempt.finish("forget", name))

    def send(
        self, path: str, *, offset: int = 0, length: int | None = None, since: int | None = None
    ) -> byte_streams.Outgoing:
        """Open a stream of the bytes of a file; this changes nothing on the host.

        Args:
            path: which; relative to the run directory, or absolute.
            offset: first byte.
            length: how many bytes; those that are there at this moment if None.
            since: where the checksum begins that the host makes; at ``offset`` if None.

        Raises:
            FileMissing: there is no such file.
        """
        start = offset if since is None else since
        asked = byte_streams.outgoing(self._attempt.file(path), offset, length, start)
        return byte_streams.Outgoing(self._channel(asked), path, length)

    def gather(self, path: str, *, offset: int = 0, listing: bool = False) -> directories.Tree:
        """Open a stream of a directory, or of what matches a pattern; this changes nothing.

        Args:
            path: which; relative to the run directory.
            offset: how many bytes of the archive are known.
            listing: a list of what it holds instead.

        Raises:
            FileMissing: there is nothing of this name.
        """
        asked = (
            directories.listing(self._attempt.directory, path)
            if listing
            else directories.packing(self._attempt.directory, path, offset)
        )
        return directories.Tree(self._channel(asked), path, 0 if listing else offset)

    def follow(self, files: Sequence[tuple[str, int]]) -> Channel:
        """Open a channel that prints what files of run directories have, and what they get.

        Args:
            files: each ``<guid>/<occasion>/<name>`` and how much of it is known. What is printed
                is written at ``follow`` in ``supervisor.sh``.
        """
        words = [word for item in files for word in item]
        return self._channel(self._attempt.command("follow", *words, bearing=False)).channel

    # -- inside -------------------------------------------------------------------------------

    def _channel(self, command: str) -> byte_streams.Judged:
        self._attempt.exchange.before_blocking()
        with self._attempt.placed():
            channel = self._attempt.session.open(
                command,
                deadline=self._attempt.deadline,
                cancel=self._attempt.cancel,
                silence=SILENCE,
            )
        return byte_streams.Judged(
            channel, self._attempt.judge, self._attempt.placed, self._attempt.where
        )

    @contextlib.contextmanager
    def _on_worker(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FileMissing(
                f"{path} on the worker machine: {error.strerror}", where=self._attempt.where
            ) from error
