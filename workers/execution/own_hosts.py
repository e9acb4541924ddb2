"""Files of hosts that this worker reaches itself: they need no way through Redis."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

from ...controller import errors
from ...controller.engine.messaging.queues import shared
from ...controller.engine.run import Run
from ...controller.engine.transfer.client import FileFacts
from ...controller.engine.transfer.directories import Gathered
from ...controller.engine.transfer.outputs import ThroughRedis
from ...controller.model.durations import Deadline
from ..hosts import Attempt, ShellHost
from ..runtime.context import Runtime
from . import loading


def host_of(runtime: Runtime, run: Run, guid: int, cancel: threading.Event | None) -> ShellHost:
    """The host of a resource, for a transfer that may take as long as it takes.

    Raises:
        NoHostError: the resource acts on no host.
    """
    record = run.record(guid)
    if record.host is None:
        raise errors.NoHostError(where=record.label, hint="it has no files; connect it to a node")
    node = run.record(record.host)
    where = record.label if node.guid == guid else f"{record.label} on {node.label}"
    return ShellHost(
        Attempt(
            runtime.sessions.session(loading.resource(run, node)),
            run_id=run.run_id,
            exp_id=run.exp_id,
            node=record.host,
            guid=guid,
            occasion=record.occ,
            # That of the latest step: a transfer is no attempt of its own, and shuts nobody out.
            token=record.token,
            deadline=Deadline.after(math.inf),
            cancel=cancel,
            where=where,
        )
    )


class OwnHosts:
    """A reader of the files of hosts for a worker; see :class:`.outputs.Reader`.

    Files of hosts that it does not reach come from other workers, through Redis.

    Args:
        runtime: of this worker.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def fetch(
        self,
        run: Run,
        guid: int,
        path: str,
        *,
        offset: int = 0,
        length: int | None = None,
        before: Any = None,
        on_facts: Callable[[FileFacts], None] = lambda facts: None,
    ) -> Iterator[bytes]:
        """Yield a file in blocks; see :func:`.client.fetch`."""
        if before is not None or not self._reaches(run, guid):
            yield from ThroughRedis.fetch(
                run, guid, path, offset=offset, length=length, before=before, on_facts=on_facts
            )
            return
        digest = hashlib.sha256()
        host = host_of(self._runtime, run, guid, None)
        with host.files.send(path, offset=offset, length=length) as stream:
            on_facts(FileFacts(stream.facts.size, stream.facts.mtime, stream.facts.inode))
            for block in stream:
                digest.update(block)
                yield block
            if stream.sha256 not in ("", digest.hexdigest()):
                raise errors.HostError(
                    f"{path} arrived other than it was sent", where=host.attempt.where
                )

    def gather(
        self,
        run: Run,
        guid: int,
        path: str,
        *,
        listing: bool = False,
        on_facts: Callable[[Gathered], None] = lambda facts: None,
    ) -> Generator[bytes, None, None]:
        """Yield a directory, or what matches a pattern; see :func:`.directories.gather`."""
        if not self._reaches(run, guid):
            yield from ThroughRedis.gather(run, guid, path, listing=listing, on_facts=on_facts)
            return
        host = host_of(self._runtime, run, guid, None)
        with host.files.gather(path, listing=listing) as stream:
            on_facts(stream.facts)
            yield from stream

    def _reaches(self, run: Run, guid: int) -> bool:
        return shared(run.queue_of(guid)) in self._runtime.queues
