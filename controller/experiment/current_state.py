"""The current state of a run and of its resources, as Redis has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..engine.redis_errors import contact
from ..model.lifecycle import State
from ..reports.failures import Failure

if TYPE_CHECKING:
    from ..engine.store.records import ResourceRecord
    from ..errors import ExperimentFailed
    from .link import Link
    from .replica import Replica


class CurrentState:
    """Reads the current state of a run and of its resources; each call reads it anew.

    Args:
        replica: the run; what is not in it yet is read from the description.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def attribute(self, guid: int, name: str) -> Any:
        """Return the present value of an attribute, which the resource's steps may have set."""
        return self._replica.description.get(guid, name, self._attributes(guid))

    def _attributes(self, guid: int) -> Mapping[str, Any]:
        item = self._replica.description.resource(guid)
        link = self._link_of(guid)
        if link is None:
            return item.attrs
        with contact():
            attributes = link.run.record(guid).attributes
        if attributes != item.attrs:
            self._replica.refresh(guid)
        return attributes

    def failed(self) -> ExperimentFailed | None:
        """Return the failure that ended the experiment, or None."""
        link = self._replica.link
        return None if link is None else link.failed()

    def state(self, guid: int) -> State:
        """Return the present state of a resource."""
        link = self._link_of(guid)
        if link is None:
            return State.NEW
        with contact():
            return State(link.run.snapshot([guid]).states[guid])

    def reached(self, guid: int, state: State) -> bool:
        """Return True if the resource has passed the milestone."""
        return state is State.NEW or self.reached_at(guid, state) is not None

    def reached_at(self, guid: int, state: State) -> float | None:
        """Return when the resource passed the milestone, in seconds since the epoch, or None."""
        link = self._link_of(guid)
        if link is None:
            return None
        with contact():
            record = link.run.record(guid)
        # A release opens the gates of conditions on FAILED without a failure.
        if state is State.FAILED and not (record.error and not Failure.of(record).released):
            return None
        return record.milestones.get(state.value)

    def time(self, guid: int, state: State) -> datetime | None:
        """Return when the resource passed the milestone, in local time, or None."""
        at = self.reached_at(guid, state)
        return None if at is None else datetime.fromtimestamp(at).astimezone()

    def records(self) -> list[ResourceRecord]:
        """Return the records of all resources of the run."""
        link = self._replica.link
        if link is None:
            return []
        with contact():
            return link.run.records()

    def phase(self) -> str:
        """Return the phase of the run; RUNNING if there is none yet."""
        link = self._replica.link
        if link is None:
            return "RUNNING"
        with contact():
            return link.run.snapshot([]).phase

    def _link_of(self, guid: int) -> Link | None:
        """Return the link to the run; None if the resource is not in it."""
        return self._replica.link if guid in self._replica.uploaded else None
