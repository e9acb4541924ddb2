"""Uploads of resources to the run, prepared and acted on in one turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

from ..description.shared_work import Leaders
from ..engine.redis_errors import contact
from ..errors import InvalidValue, NoWorker
from ..model.spec import ResourceSpec
from .link import Link
from .local_contents import LocalContents
from .replica import Replica

_T = TypeVar("_T")
#: The resources to upload, and those to act on.
Prepared = tuple[dict[int, ResourceSpec], list[ResourceSpec]]


class Uploads:
    """Writes resources of the description into the run.

    Args:
        replica: the run, as far as this client knows it.

    Attributes:
        replica: as given.
    """

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self._description = replica.description
        self._contents = LocalContents(replica.settings)
        self._leaders = Leaders(replica.description)

    def bring(self, guids: Sequence[int], check: Callable[[], object]) -> None:
        """Deposit the contents of local files of resources; see :meth:`LocalContents.bring`."""
        self._contents.bring(self.replica, guids, check)

    def send(
        self,
        prepare: Callable[[], Prepared],
        act: Callable[[Link, Sequence[ResourceSpec]], _T],
    ) -> _T:
        """Upload resources and act on the run, in one turn in which all of it is prepared.

        The run and its workers may take long to start; a turn is never held meanwhile.

        Args:
            prepare: checks, and returns the resources to upload and those to act on.
            act: acts on these.
        """
        prepared: Prepared | None = None
        end, number = None, 0
        while True:
            with self.replica.turn as now:
                # Other threads may have changed something since.
                if prepared is None or now != number + 1:
                    prepared = prepare()
                specs, chosen = prepared
                number, link = now, self.replica.link
                queues = {spec.queue for spec in chosen}
                if link is not None and self._served(link, queues):
                    with contact():
                        self.write(link, specs)
                        return act(link, chosen)
            if link is None:
                self.replica.open()
                continue
            limit = link.access.settings.worker_timeout
            end = time.monotonic() + limit if end is None else end
            with contact():
                link.access.require_workers(link.run, queues, max(0.0, end - time.monotonic()))

    def _served(self, link: Link, queues: Collection[str]) -> bool:
        """Return True if live workers serve all of these now."""
        try:
            with contact():
                link.access.require_workers(link.run, queues)
        except NoWorker:
            return False
        return True

    def closure(
        self, guids: Iterable[int], deployed: Collection[int] = frozenset()
    ) -> dict[int, ResourceSpec]:
        """Return what must be written for these: they, their peers, and those they wait for.

        Attributes of those that are not deployed now may still be set.
        """
        specs: dict[int, ResourceSpec] = {}
        front = list(guids)
        self._leaders.propose(g for g in front if g in deployed and g not in self.replica.uploaded)
        while front:
            guid = front.pop()
            if guid in specs or guid in self.replica.uploaded:
                continue
            settled = guid in deployed
            leader = self._leaders.of(guid) if settled else None
            spec = self._description.spec(guid, settled=settled, leader=leader)
            if settled:
                spec = self._contents.added(self.replica, spec)
            specs[guid] = spec
            front += [peer for peers in spec.peers.values() for peer in peers]
            front += [gate.target for gate in spec.gates]
        return specs

    def write(self, link: Link, specs: dict[int, ResourceSpec]) -> None:
        """Write these resources into the run, in a turn.

        Raises:
            InvalidValue: another client has given the label of one to another resource.
        """
        taken = self.replica.taken
        for spec in specs.values():
            if spec.label in taken:
                raise InvalidValue(
                    f"label {spec.label!r} was given to guid {taken[spec.label]} by another client",
                    hint="register it under another label, and deploy the resources by name",
                )
        if specs:
            link.run.upload([specs[guid] for guid in sorted(specs)], self.replica.nonce)
            self.replica.uploaded |= specs.keys()
            self._leaders.confirm(specs)
