"""What a client knows of its run, and how it learns of what others did there."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from . import waiting
from .engine.contact import contact
from .errors import ExperimentFailed, NotAllowed, UnknownType
from .link import Link
from .model import registry
from .model.description import Description
from .model.lifecycle import State
from .model.resource import ResourceManager
from .reports.failures import Failure

if TYPE_CHECKING:
    from .engine.store.records import ResourceRecord
    from .waiting import Goal


class Mirror:
    """The run of a description, as far as it is there already.

    Args:
        description: the description; what other clients add to the run is added to it.

    Attributes:
        link: the link to the run; None as long as nothing was deployed.
        deployed: guids that this client has deployed, or that were when it attached.
    """

    def __init__(self, description: Description) -> None:
        self.link: Link | None = None
        self.deployed: set[int] = set()
        self._description = description
        self._uploaded: set[int] = set()
        self._without_conditions: set[int] = set()
        self._taken: dict[str, int] = {}

    # -- learning -----------------------------------------------------------------------------

    def learn(self) -> bool:
        """Take over what other clients have uploaded; True if there was anything new."""
        if self.link is None:
            return False
        run = self.link.run
        with contact():
            known = run.store.guids()
            if not known:
                run.require()
            unknown = [guid for guid in known if guid not in self._uploaded]
            records = run.records(unknown) if unknown else []
            self.deployed |= run.store.deployed()
        for record in records:
            self._restore(record)
        return bool(records)

    def _restore(self, record: ResourceRecord) -> None:
        label = record.label
        if label in self._description:
            # Two clients chose it, neither of which knew of the other's.
            self._taken[label] = record.guid
            while label in self._description:
                label = f"{label}-{record.guid}"
        with _stand_in(record.rtype):
            self._description.restore(
                {
                    "g": record.guid,
                    "rtype": record.rtype,
                    "label": label,
                    "attrs": record.attributes,
                    "peers": record.peers,
                    "conds": [],
                }
            )
        self._uploaded.add(record.guid)
        self._without_conditions.add(record.guid)

    def recall_conditions(self) -> None:
        """Take over the conditions that other clients have registered."""
        while self._without_conditions and self.link is not None:
            guid = self._without_conditions.pop()
            with contact():
                found = self.link.run.store.conditions(guid)
            for condition in found:
                if not condition.need and condition.target in self._description:
                    self._description.condition(
                        guid,
                        condition.action,
                        condition.target,
                        condition.milestone,
                        condition.offset,
                    )

    def _closed_groups(self) -> dict[str, list[int]]:
        if self.link is None:
            return {}
        with contact():
            closed = self.link.run.store.closed_groups()
        return {
            str(group): [guid for guid in guids if guid in self._description]
            for group, guids in closed.items()
        }

    # -- looking ------------------------------------------------------------------------------

    def refresh(self, guid: int) -> None:
        """Take over the attributes that the resource's steps have set."""
        if self.link is not None and guid in self._uploaded:
            with contact():
                record = self.link.run.record(guid)
            self._description.resource(guid).attrs = dict(record.attributes)

    def required(self, guid: int) -> Link:
        """The link to the run that the resource is in.

        Raises:
            NotAllowed: it has not been deployed.
        """
        if self.link is None or guid not in self._uploaded:
            label = self._description.label(guid)
            raise NotAllowed("it is not deployed", where=label, hint="call deploy() first")
        return self.link

    def failed(self) -> ExperimentFailed | None:
        """The failure that ended the experiment, if one did."""
        return None if self.link is None else self.link.failed()

    def state(self, guid: int) -> State:
        """The present state."""
        if self.link is None or guid not in self._uploaded:
            return State.NEW
        with contact():
            return State(self.link.run.snapshot([guid]).states[guid])

    def reached(self, guid: int, state: State) -> bool:
        """True if the resource has passed the milestone."""
        return state is State.NEW or self.reached_at(guid, state) is not None

    def reached_at(self, guid: int, state: State) -> float | None:
        """When the resource has passed the milestone, in seconds since the epoch."""
        if self.link is None or guid not in self._uploaded:
            return None
        with contact():
            record = self.link.run.record(guid)
        # A release opens what waits for a failure, which is no failure.
        if state is State.FAILED and not (record.error and not Failure.of(record).released):
            return None
        return record.milestones.get(state.value)

    def records(self) -> list[ResourceRecord]:
        """Everything known of all resources of the run."""
        if self.link is None:
            return []
        with contact():
            return self.link.run.records()

    def phase(self) -> str:
        """The phase of the run; RUNNING if there is none yet."""
        if self.link is None:
            return "RUNNING"
        with contact():
            return self.link.run.snapshot([]).phase

    def deployed_but_hosts(self) -> list[int]:
        """Those deployed that others do not run on, so that they end some time."""
        resource = self._description.resource
        kinds = {guid: resource(guid).cls for guid in self.deployed}
        return sorted(g for g, cls in kinds.items() if not (cls.provides_host or cls.internal))

    def wait(self, guids: Iterable[int], goal: Goal, timeout: float | None) -> bool:
        """Wait until resources fulfil a goal; False if the experiment failed.

        Raises:
            NotAllowed: one of them has not been deployed, so that it never would.
        """
        wanted = set(guids)
        if goal is waiting.RELEASED:
            wanted &= self._uploaded
        else:
            self._require_deployed(wanted)
        return True if self.link is None else self.link.wait(wanted, goal, timeout)

    def _require_deployed(self, guids: Collection[int]) -> None:
        if not self.deployed.issuperset(guids):
            # Another client may have deployed it.
            self.learn()
        for guid in sorted(frozenset(guids) - self.deployed):
            label = self._description.label(guid)
            raise NotAllowed("it is not deployed", where=label, hint="call deploy() first")


@contextlib.contextmanager
def _stand_in(rtype: str) -> Iterator[None]:
    """Let a type be found whose class this process does not have; only its life is known then."""
    try:
        registry.find(rtype)
    except UnknownType:
        type("Unknown", (ResourceManager,), {"__slots__": ()}, rtype=rtype)
        try:
            yield
        finally:
            registry.forget(rtype)
    else:
        yield
