"""Resource managers created from their records, anew for each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ...controller.engine.store.calls import Claim
from ...controller.engine.store.records import ResourceRecord
from ...controller.model import registry
from ...controller.model.resource import ResourceManager

Peers = Mapping[str, Callable[[], Sequence[ResourceManager]]]


class Records(Protocol):
    """The records of a run: the run itself, or records of it that were read before."""

    @property
    def run_id(self) -> str:
        """The id of the run."""
        ...

    @property
    def exp_id(self) -> str:
        """The name of the experiment."""
        ...

    def record(self, guid: int) -> ResourceRecord:
        """Return the record of a resource."""
        ...

    def records(self, guids: Sequence[int]) -> Sequence[ResourceRecord]:
        """Return the records of several."""
        ...


def resource(run: Records, record: ResourceRecord | Claim) -> ResourceManager:
    """Return the resource manager of a record or claimed step; its peers are loaded when used."""
    return registry.find_on_worker(record.rtype).load(
        guid=record.guid,
        label=record.label,
        run_id=run.run_id,
        exp_id=run.exp_id,
        occasion=record.occ,
        attributes=record.attributes,
        peers=_peers(run, record.peers),
    )


def _peers(run: Records, guids: Mapping[str, Sequence[int]]) -> Peers:
    def loader(peer_guids: Sequence[int]) -> Callable[[], Sequence[ResourceManager]]:
        return lambda: [resource(run, record) for record in run.records(peer_guids)]

    return {name: loader(peer_guids) for name, peer_guids in guids.items()}
