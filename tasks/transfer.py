"""Celery tasks that transfer files and logs between hosts and clients."""

from __future__ import annotations

from celery import shared_task

from ..workers.runtime import context
from ..workers.transfer import server


@shared_task(name="nepiq.fetch")
def fetch(
    run_id: str, guid: int, path: str, name: str, offset: int, length: int | None, since: int
) -> None:
    """Send a part of a file of a resource's host."""
    server.fetch(context.current(), run_id, guid, path, name, offset, length, since)


@shared_task(name="nepiq.gather")
def gather(run_id: str, guid: int, path: str, name: str, offset: int, listing: bool) -> None:
    """Send a directory of a resource's host, or a list of its content."""
    server.gather(context.current(), run_id, guid, path, name, offset, listing)


@shared_task(name="nepiq.place")
def place(
    run_id: str,
    guids: list[int],
    path: str,
    mode: int | None,
    length: int,
    transfer: str,
    name: str,
) -> None:
    """Receive a file or an archive, and write it to the hosts of resources."""
    server.place(context.current(), run_id, guids, path, mode, length, transfer, name)


@shared_task(name="nepiq.follow")
def follow(run_id: str, node: int, followed: list[tuple[str, int]], name: str) -> None:
    """Send what is appended to files of a node from now on, without occupying a worker slot."""
    server.follow(context.current(), run_id, node, followed, name)
