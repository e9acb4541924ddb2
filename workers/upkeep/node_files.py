"""Repair and comparison of a node's state, for its exit watcher.

Applications may remove any file of nepiq on their host. Missing files are restored while the run
is active, and the processes that Redis records as running are compared with those that run.
"""

from __future__ import annotations

from ...controller.engine.run import Run
from ...controller.errors import NepiqError
from ...controller.model import registry
from ...controller.model.durations import Deadline
from ...controller.model.resource import ResourceManager
from ..hosts import Attempt, Session, ShellHost

#: Heartbeats of a journal between two comparisons: one minute.
BEATS = 12
_SECONDS = 30.0


def restore(run: Run, node: ResourceManager, session: Session) -> None:
    """Restore files that were removed from the directory of a node.

    Raises:
        FencedError: the run has ended on that host.
        HostError: they cannot be restored.
    """
    ShellHost(
        Attempt(
            session,
            run_id=run.run_id,
            exp_id=run.exp_id,
            node=node.guid,
            guid=node.guid,
            occasion=1,
            token=0,
            deadline=Deadline.after(_SECONDS),
            where=node.label,
        )
    ).restore(mode=getattr(node, "home_mode", 0o700))


def launched(run: Run, node: int) -> list[tuple[int, int]]:
    """Return guid and start number of each process recorded as running on a node.

    Resource types that may be STARTED without a process are left out.
    """
    records = run.store.on_host(node)
    rtypes = {record.rtype for record in records if record.state == "STARTED"}
    launching = {rtype for rtype in rtypes if _launches(rtype)}
    return [
        (record.guid, record.occ)
        for record in records
        if record.state == "STARTED" and record.host == node and record.rtype in launching
    ]


def _launches(rtype: str) -> bool:
    """Return whether each start of a type launches a process: ``do_start`` returns a Launch."""
    try:
        resource_class = registry.find_on_worker(rtype)
    except NepiqError:
        return False
    annotation = resource_class.do_start.__annotations__.get("return")
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return name.rpartition(".")[2] == "Launch"
