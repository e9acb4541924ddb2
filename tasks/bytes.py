"""Files of hosts, sent to clients."""

from __future__ import annotations

from celery import shared_task

from ..workers import runtime
from ..workers.files import blocks


@shared_task(name="nepiq.fetch")
def fetch(
    run_id: str, guid: int, path: str, transfer_id: str, offset: int, length: int | None
) -> None:
    """Send a part of a file of a resource's host."""
    worker = runtime.current()
    run = worker.run(run_id)
    run.send(transfer_id, blocks(worker, run, guid, path, offset, length))
