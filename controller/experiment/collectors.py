"""What Collectors bring to the machine of the client that releases a run."""

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
class Wanted:
    """One output that a Collector names.

    Attributes:
        guid: whose.
        label: its name.
        trace: the trace.
        path: where it goes, relative to the run's directory.
        removed: the release removes it from its host, so it has to be brought before.
    """

    guid: int
    label: str
    trace: str
    path: Path
    removed: bool


def wanted(description: Description, collectors: Sequence[int]) -> list[Wanted]:
    """Return the outputs that Collectors name.

    Args:
        description: the experiment.
        collectors: guids of the Collectors.
    """
    return [item for guid in collectors for item in _of(description, guid)]


def _of(description: Description, collector: int) -> Iterator[Wanted]:
    rm = description.instance(collector)
    trace = rm.stored("traceName")
    name = rm.stored("rename") or trace
    folder = Path(rm.stored("subDir") or "")
    for guids in description.resource(collector).peers.values():
        for guid in guids:
            host = description.host_of(guid)
            removed = any(
                description.get(one, "hardRelease") for one in {guid, host} if one is not None
            )
            path = folder / f"{guid}.{name}"
            yield Wanted(guid, description.label(guid), trace, path, removed)


def collect(run: Run, some: Sequence[Wanted], folder: Path) -> None:
    """Bring outputs here. What cannot be had is logged, and stops neither others nor the release.

    Args:
        run: the run.
        some: the outputs.
        folder: the run's directory on this machine; made if it does not exist.
    """
    records = {record.guid: record for record in run.records([item.guid for item in some])}
    for item in some:
        if item.guid not in records or not has_started(records[item.guid]):
            continue  # It has written nothing.
        goal = folder / item.path
        try:
            goal.parent.mkdir(parents=True, exist_ok=True)
            download(run, item.guid, item.trace, goal)
        except OSError as error:
            _complain(item, f"cannot write {goal} on this machine: {error.strerror}")
        except NepiqError as error:
            _complain(item, str(error))


def _complain(item: Wanted, why: str) -> None:
    log.error("%s of %s was not collected: %s", item.trace, item.label, why)
