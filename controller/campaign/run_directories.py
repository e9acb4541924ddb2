"""Directories of a campaign's runs on hosts, which are removed when the runs have their rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import UnknownRun

if TYPE_CHECKING:
    from ..engine import Backend


class RunDirectory(NamedTuple):
    """The directory of a run on one of its hosts, with all that its removal needs.

    Attributes:
        run_id: the run, whose records are gone by then.
        exp_id: name of its experiment.
        guid: of the host.
        label: of the host.
        rtype: of the host.
        token: of the latest step that acted on it.
        attributes: of the host, as stored.
    """

    run_id: str
    exp_id: str
    guid: int
    label: str
    rtype: str
    token: int
    attributes: Mapping[str, Any]


class RunDirectories:
    """The directories of ended runs, found while the records of the runs exist.

    Args:
        backend: the engine.
        campaign: name of the campaign.
        exp_id: name of its experiment.
    """

    def __init__(self, backend: Backend, campaign: str, exp_id: str) -> None:
        self._backend = backend
        self._campaign = campaign
        self._exp_id = exp_id
        self._found: dict[str, dict[str, list[RunDirectory]]] = {}

    def find(self, run_id: str, hosts: Sequence[int]) -> None:
        """Read where the directories of a run are.

        Args:
            run_id: the run; nothing is found if its records are gone.
            hosts: guids of its hosts.
        """
        run = self._backend.exact_run(run_id)
        found = defaultdict(list)
        try:
            for record in run.records(hosts):
                if "READY" in record.milestones:
                    item = (record.guid, record.label, record.rtype, record.token)
                    directory = RunDirectory(run_id, self._exp_id, *item, record.attributes)
                    found[run.queue_of(record.guid)].append(directory)
        except UnknownRun:
            return
        self._found[run_id] = dict(found)

    def remove(self, run_ids: Iterable[str]) -> None:
        """Have the workers that reach the hosts remove the directories of runs."""
        by_queue: dict[str, list[RunDirectory]] = defaultdict(list)
        for run_id in run_ids:
            for queue, items in self._found.pop(run_id, {}).items():
                by_queue[queue] += items
        for queue, items in by_queue.items():
            shown = f"clear {self._campaign}, {len(items)} directories"
            args = [self._campaign, items]
            self._backend.publisher.call("nepiq.clear", queue, args, shown=shown)
