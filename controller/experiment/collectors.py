"""Outputs that Collectors copy to the machine of the client that releases a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.transfer.outputs import has_started
from ..errors import NepiqError
from .files import download

if TYPE_CHECKING:
    from ..description.description import Description
    from ..engine import Run

log = logging.getLogger("nepiq.experiment")


@dataclass(frozen=True)
class CollectedOutput:
    """An output named by a Collector.

    Attributes:
        guid: the resource that writes it.
        label: the label of that resource.
        trace: the name of the trace.
        path: the file to write, relative to the run's directory.
        removed: True if the release removes it from its host, so it must be copied before.
    """

    guid: int
    label: str
    trace: str
    path: Path
    removed: bool


def outputs_of(description: Description, collectors: Sequence[int]) -> list[CollectedOutput]:
    """Return the outputs that Collectors name.

    Args:
        description: the experiment.
        collectors: guids of the Collectors.
    """
    return [item for guid in collectors for item in _of(description, guid)]


def _of(description: Description, collector: int) -> Iterator[CollectedOutput]:
    rm = description.instance(collector)
    trace = rm.stored("traceName")
    name = rm.stored("rename") or trace
    folder = Path(rm.stored("subDir") or "")
    for guids in description.resource(collector).peers.values():
        for guid in guids:
            host = description.host_of(guid)
            removed = any(
                description.get(item, "hardRelease") for item in {guid, host} if item is not None
            )
            path = folder / f"{guid}.{name}"
            yield CollectedOutput(guid, description.label(guid), trace, path, removed)


def collect(run: Run, outputs: Sequence[CollectedOutput], folder: Path) -> None:
    """Copy outputs to this machine; log an output that cannot be copied, and continue.

    Args:
        run: the run.
        outputs: the outputs.
        folder: the run's directory on this machine; created if it does not exist.
    """
    records = {record.guid: record for record in run.records([item.guid for item in outputs])}
    for item in outputs:
        if item.guid not in records or not has_started(records[item.guid]):
            continue  # it has written nothing
        target = folder / item.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            download(run, item.guid, item.trace, target)
        except OSError as error:
            _log_failure(item, f"cannot write {target} on this machine: {error.strerror}")
        except NepiqError as error:
            _log_failure(item, str(error))


def _log_failure(item: CollectedOutput, reason: str) -> None:
    log.error("%s of %s was not collected: %s", item.trace, item.label, reason)
