"""Reading files of hosts, block by block."""

from __future__ import annotations

from collections.abc import Iterator

from ..controller.engine.orchestration import Run
from ..controller.engine.transfer import BLOCK
from ..controller.errors import NoHostError
from ..controller.model.timing import Deadline
from . import loading
from .hosts import ShellHost
from .runtime import Runtime

TIME_LIMIT = 3600.0
"""Seconds that sending one file may take."""


def blocks(
    runtime: Runtime, run: Run, guid: int, path: str, offset: int, length: int | None
) -> Iterator[bytes]:
    """The bytes of a file of a resource's run directory.

    Args:
        runtime: this worker's.
        run: the run.
        guid: whose file; its host is asked.
        path: relative to the resource's run directory, or absolute.
        offset: first byte.
        length: how many bytes; all that follow if None.

    Raises:
        FileMissing: there is no such file.
        NoHostError: the resource acts on no host.
    """
    record = run.record(guid)
    if record.host is None:
        raise NoHostError(where=record.label, hint="it has no files; connect it to a node")
    node = loading.resource(run, run.record(record.host))
    host = ShellHost(
        runtime.sessions.session(node),
        run_id=run.run_id,
        exp_id=run.exp_id,
        node=record.host,
        guid=guid,
        occasion=record.occ,
        token=0,
        deadline=Deadline.after(TIME_LIMIT),
        where=record.label,
    )
    left = length
    while left is None or left > 0:
        wanted = BLOCK if left is None else min(BLOCK, left)
        block = host.read(path, offset=offset, length=wanted)
        if block:
            yield block
        if len(block) < wanted:
            return
        offset += len(block)
        left = None if left is None else left - len(block)
