"""What the watch of a node needs beside the journal: files that are there, and a comparison.

Applications may remove any file of nepiq on their host. What is missing is made anew while the
run goes on, and what Redis takes for running is compared with what runs.
"""

from __future__ import annotations

from ...controller.engine.run import Run
from ...controller.errors import NepiqError
from ...controller.model import registry
from ...controller.model.durations import Deadline
from ...controller.model.resource import ResourceManager
from ..hosts import Attempt, Session, ShellHost

#: Beats of a watch from one comparison to the next: a minute.
BEATS = 12
_SECONDS = 30.0


def restore(run: Run, node: ResourceManager, session: Session) -> None:
    """Make anew what somebody has removed from the directory of a node.

    Raises:
        FencedError: the run has ended on that host.
        HostError: it cannot be made.
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
    """Guid and occasion of each process that counts as running on a node.

    Of a resource type that may also be STARTED without a process nothing is known.
    """
    found = run.store.on_host(node)
    kinds = {record.rtype for record in found if record.state == "STARTED"}
    launching = {rtype for rtype in kinds if _launches(rtype)}
    return [
        (record.guid, record.occ)
        for record in found
        if record.state == "STARTED" and record.host == node and record.rtype in launching
    ]


def _launches(rtype: str) -> bool:
    """Whether each start of a type launches a process: its ``do_start`` returns a Launch."""
    try:
        kind = registry.find_on_worker(rtype)
    except NepiqError:
        return False
    said = kind.do_start.__annotations__.get("return")
    name = said if isinstance(said, str) else getattr(said, "__name__", "")
    return name.rpartition(".")[2] == "Launch"
