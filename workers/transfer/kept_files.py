"""Files of campaigns that this machine keeps, on their way to a client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...controller.campaign.file_store import FileStore, blocks_of
from ...controller.engine.transfer.flow_control import BLOCK, DATA, END, INFO, Heartbeat, Sender
from ...controller.errors import FileMissing
from ..execution.campaign_files import store_of
from ..runtime.context import Runtime
from .server import messages, send_to_client


def send_manifests(runtime: Runtime, campaign: str, name: str, run_ids: Sequence[str]) -> None:
    """Send the files of runs: a line of JSON for each run that this machine has files of.

    Args:
        runtime: this worker's.
        campaign: name of the campaign.
        name: names the attempt of the transfer.
        run_ids: the runs.
    """

    def lines() -> Iterator[bytes]:
        store = store_of(runtime, campaign)
        for run_id in run_ids:
            if files := store.files(run_id):
                data = {"run": run_id, "files": [file.to_data() for file in files]}
                yield json.dumps(data).encode() + b"\n"

    def send(sender: Sender, _: Heartbeat) -> None:
        for parts in messages(lines()):
            sender.send(DATA, *parts)
        sender.send_json(END, {})

    send_to_client(runtime, "manifests", f"campaign:{campaign}", name, send)


def send_contents(runtime: Runtime, campaign: str, name: str, checksums: Sequence[str]) -> None:
    """Send contents, small ones together.

    Args:
        runtime: this worker's.
        campaign: name of the campaign.
        name: names the attempt of the transfer.
        checksums: of the contents.
    """

    def send(sender: Sender, _: Heartbeat) -> None:
        for group in _groups(store_of(runtime, campaign), checksums):
            sender.send(INFO, json.dumps([(path.name, size) for path, size in group]).encode())
            for parts in messages(block for path, _ in group for block in blocks_of(path)):
                sender.send(DATA, *parts)
        sender.send_json(END, {})

    send_to_client(runtime, "contents", f"campaign:{campaign}", name, send)


def discard(runtime: Runtime, campaign: str, name: str, run_ids: Sequence[str]) -> None:
    """Delete the files of runs, and the contents that no other run has.

    Args:
        runtime: this worker's.
        campaign: name of the campaign.
        name: names the attempt of the transfer.
        run_ids: the runs.
    """

    def send(sender: Sender, _: Heartbeat) -> None:
        store = store_of(runtime, campaign)
        store.remove(*run_ids)
        store.prune()
        sender.send_json(END, {})

    send_to_client(runtime, "discard", f"campaign:{campaign}", name, send)


def _groups(store: FileStore, checksums: Sequence[str]) -> Iterator[list[tuple[Path, int]]]:
    """Yield paths and sizes of contents in groups of about a message each.

    Raises:
        FileMissing: one is not there.
    """
    group, total = [], 0
    for sha256 in checksums:
        path = store.content(sha256)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise FileMissing(f"cannot read {path}: {error.strerror}") from error
        group.append((path, size))
        total += size
        if total >= BLOCK:
            yield group
            group, total = [], 0
    if group:
        yield group
