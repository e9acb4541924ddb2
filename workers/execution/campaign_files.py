"""Files of the runs of campaigns: the file stores of a worker machine, and directories on hosts."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ...controller.campaign.collection import Collection
from ...controller.campaign.definition import Definition
from ...controller.campaign.file_store import FileStore
from ...controller.campaign.run_directories import RunDirectory
from ...controller.engine.transfer.outputs import Outputs
from ...controller.errors import CampaignError, FileMissing, NepiqError
from ...controller.model import registry
from ...controller.model.durations import Deadline
from ..hosts import Attempt, ShellHost, ended_runs
from ..runtime import fault_injection
from ..runtime.context import Runtime
from ..sessions.session import Session
from .own_hosts import OwnHosts

log = logging.getLogger("nepiq.campaign")

_CLEAR_SECONDS = 120.0


def store_of(runtime: Runtime, campaign: str) -> FileStore:
    """Return the file store of a campaign on this worker machine.

    Raises:
        FileMissing: it cannot be created.
    """
    return FileStore(runtime.settings.results / campaign)


def collection(
    runtime: Runtime, definition: Definition, run_id: str, guids: Mapping[str, int]
) -> Collection:
    """Return the collection of the files of a run, to be filled.

    Raises:
        FileMissing: the store cannot be created.
    """
    store = FileStore(runtime.settings.results / definition.name, definition.keep)
    fault_injection.point("collecting", definition.name)
    return Collection(store, Outputs(runtime.run(run_id), OwnHosts(runtime)), guids)


def obstacle(runtime: Runtime, campaign: str) -> str:
    """Return why no files can be stored on this machine now; empty if they can be.

    What killed workers have left in the store is removed first.
    """
    try:
        store = store_of(runtime, campaign)
        store.tidy()
        store.require(round(runtime.settings.results_free * 1e6))
    except (CampaignError, FileMissing) as error:
        return f"worker machine {runtime.machine}: {error}"
    return ""


def clear(runtime: Runtime, items: Sequence[RunDirectory]) -> str:
    """Remove directories of released runs from hosts; log what cannot be removed.

    Returns:
        A summary, for people.
    """
    removed = 0
    for session, base, attempts in _by_place(runtime, items):
        try:
            layouts = [attempt.layout for attempt in attempts]
            gone = ended_runs.remove(session, layouts, Deadline.after(_CLEAR_SECONDS))
        except NepiqError as error:
            log.warning("directories of %d runs stay in %s: %s", len(attempts), base, error)
            continue
        removed += len(gone)
        for attempt in attempts:
            if attempt.layout not in gone:
                removed += _dismantle(attempt)
    return f"{removed} of {len(items)} removed"


def _by_place(
    runtime: Runtime, items: Sequence[RunDirectory]
) -> Iterator[tuple[Session, str, list[Attempt]]]:
    """Yield attempts to remove directories, with the session and directory they have in common."""
    places: dict[tuple[int, str], list[Attempt]] = defaultdict(list)
    for item in items:
        try:
            attempt = _attempt(runtime, item)
        except NepiqError as error:
            log.warning("directory of run %s stays: %s", item.run_id, error)
            continue
        places[id(attempt.session), attempt.layout.base].append(attempt)
    for (_, base), attempts in places.items():
        yield attempts[0].session, base, attempts


def _dismantle(attempt: Attempt) -> bool:
    try:
        ShellHost(attempt).dismantle(remove=True)
    except NepiqError as error:
        log.warning("directory of run %s stays: %s", attempt.run_id, error)
        return False
    return True


def _attempt(runtime: Runtime, item: RunDirectory) -> Attempt:
    node = registry.find_on_worker(item.rtype).load(
        guid=item.guid,
        label=item.label,
        run_id=item.run_id,
        exp_id=item.exp_id,
        attributes=item.attributes,
    )
    return Attempt(
        runtime.sessions.session(node),
        run_id=item.run_id,
        exp_id=item.exp_id,
        node=item.guid,
        guid=item.guid,
        occasion=1,
        token=item.token,
        deadline=Deadline.after(_CLEAR_SECONDS),
        where=item.label,
        sudo_password=getattr(node, "sudoPassword", None),
    )
