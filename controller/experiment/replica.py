"""What a client knows of its run, and how it learns of what others did there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..description.description import Description
from ..engine.redis_errors import contact
from ..errors import ExperimentFailed, NotAllowed, UnknownType
from ..model import registry
from ..model.lifecycle import State
from ..model.resource import ResourceManager
from ..reports.failures import Failure
from . import waiting
from .link import Link
from .locks import Turn

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord
    from .waiting import Goal


class Mirror:
    """The run of a description, as far as it is there already. Safe to use from several threads.

    Args:
        description: the description; what other clients add to the run is added to it.

    Attributes:
        turn: held by who changes the description, or what of it is in the run.
        deployed: guids that this client has deployed, or that were when it attached; whoever
            reads more than one of them holds the lock of the description.
    """

    def __init__(self, description: Description) -> None:
        self.turn = Turn(self._rejoin)
        self.deployed: set[int] = set()
        self._link: Link | None = None
        # The run that a fork has cut this process off from, as long as it has not joined again.
        self._left = ""
        # What was described and in no run yet when this process was forked.
        self._copied: set[int] = set()
        self._description = description
        self._uploaded: set[int] = set()
        self._without_conditions: set[int] = set()
        self._taken: dict[str, int] = {}

    @property
    def link(self) -> Link | None:
        """The link to the run; None as long as nothing was deployed."""
        self._rejoin()
        return self._link

    @property
    def known_run(self) -> str:
        """The id of the run, empty if there is none yet; asks nobody."""
        return self._left if self._link is None else self._link.run.run_id

    def _rejoin(self) -> None:
        """Join the run again that a fork has cut this process off from."""

    # -- learning -----------------------------------------------------------------------------

    def learn(self) -> None:
        """Take over what other clients have uploaded."""
        if self.link is None:
            return
        run = self.link.run
        with contact():
            guids = run.store.guids()
            if not guids:
                run.require()
            known = self._uploaded.issuperset(guids)
            deployed = run.store.deployed() if known else set()
        if known:
            with self._description.lock:
                self.deployed |= deployed
            return
        # What another thread is about to upload is known when it has had its turn.
        with self.turn:
            self._learn(run)

    def _learn(self, run: Run) -> None:
        with contact():
            unknown = [guid for guid in run.store.guids() if guid not in self._uploaded]
            records = run.records(unknown) if unknown else []
            deployed = run.store.deployed()
        with self._description.lock:
            for record in records:
                self._restore(record)
            self.deployed |= deployed

    def _restore(self, record: ResourceRecord) -> None:
        label = record.label
        if record.guid in self._copied and record.guid in self._description:
            # Whoever it was copied from has uploaded it since.
            self._note(record)
            return
        if label in self._description:
            # Two clients chose it, neither of which knew of the other's.
            self._taken[label] = record.guid
            while label in self._description:
                label = f"{label}-{record.guid}"
        self._description.restore(
            {
                "g": record.guid,
                "rtype": record.rtype,
                "label": label,
                "attrs": record.attributes,
                "peers": record.peers,
                "conds": [],
            },
            _class_of(record.rtype),
        )
        self._note(record)

    def _note(self, record: ResourceRecord) -> None:
        self._uploaded.add(record.guid)
        self._without_conditions.add(record.guid)

    def recall_conditions(self) -> None:
        """Take over the conditions that other clients have registered."""
        if self.link is not None and self._without_conditions:
            with self.turn:
                self._recall_conditions(self.link.run)

    def _recall_conditions(self, run: Run) -> None:
        while self._without_conditions:
            guid = self._without_conditions.pop()
            with contact():
                found = run.store.conditions(guid)
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

    def attributes(self, guid: int) -> Mapping[str, Any]:
        """The present attributes, with what the resource's steps have set."""
        item = self._description.resource(guid)
        if self.link is None or guid not in self._uploaded:
            return item.attrs
        with contact():
            found = self.link.run.record(guid).attributes
        if found != item.attrs:
            self.refresh(guid)
        return found

    def refresh(self, guid: int) -> None:
        """Take over the attributes that the resource's steps have set."""
        if self.link is None:
            return
        # In a turn, so that who has read earlier does not write later.
        with self.turn, contact():
            found = dict(self.link.run.record(guid).attributes)
            self._description.resource(guid).attrs = found

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
        kinds = {guid: resource(guid).cls for guid in self.all_deployed()}
        return [guid for guid, cls in kinds.items() if not (cls.provides_host or cls.internal)]

    def all_deployed(self) -> list[int]:
        """Those deployed so far, in order."""
        with self._description.lock:
            return sorted(self.deployed)

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
        if not all(guid in self.deployed for guid in guids):
            # Another client may have deployed it.
            self.learn()
        for guid in sorted(guid for guid in guids if guid not in self.deployed):
            label = self._description.label(guid)
            raise NotAllowed("it is not deployed", where=label, hint="call deploy() first")


def _class_of(rtype: str) -> type[ResourceManager]:
    """The class of a type; a stand-in if this process does not have it: its life is known then."""
    try:
        return registry.find(rtype)
    except UnknownType:

        class Unknown(ResourceManager):
            __slots__ = ()

        # Not as an argument: that would make it known to everybody.
        Unknown.rtype = rtype
        return Unknown
