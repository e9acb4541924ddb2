"""The part of an experiment's face that looks at resources and their types."""

from __future__ import annotations

import enum
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..description.roster import Target
from ..errors import TraceNotFound, UnknownAttribute, UnknownResource
from ..model.lifecycle import State
from .scheduling import Scheduling

if TYPE_CHECKING:
    from ..model.attributes import Attribute
    from ..model.resource import ResourceManager
    from ..model.traces import Trace


class FailureLevel(enum.IntEnum):
    """How bad it is, with NEPI's numbers."""

    #: No critical resource has failed.
    OK = 1
    #: A critical resource failed, which ended the experiment.
    RM_FAILURE = 2
    #: NEPI's own controller failed; nepiq's state is in Redis and survives that.
    EC_FAILURE = 3


class ResourceView:
    """One resource of an experiment, as ``ec.get_resource`` shows it; it holds no state itself.

    Attributes:
        guid: its number.
        label: its name.
        rtype: its type.
    """

    def __init__(self, ec: Inspecting, guid: int, label: str, rtype: str) -> None:
        self._ec = ec
        self.guid = guid
        self.label = label
        self.rtype = rtype

    @property
    def state(self) -> State:
        """Where it is."""
        return self._ec.state(self.guid)  # type: ignore[no-any-return]

    @property
    def connections(self) -> list[int]:
        """The guids of what it is connected with."""
        return self._ec.connections(self.guid)

    def get(self, name: str) -> Any:
        """The present value of an attribute."""
        return self._ec.get(self.guid, name)

    def set(self, name: str, value: Any) -> None:
        """Set an attribute; see :meth:`ExperimentController.set`."""
        self._ec.set(self.guid, name, value)

    def trace(self, name: str, *args: Any, **options: Any) -> Any:
        """An output; see :meth:`ExperimentController.trace`."""
        return self._ec.trace(self.guid, name, *args, **options)

    def __repr__(self) -> str:
        return f"<{self.rtype} {self.label} (guid {self.guid})>"

    def _repr_html_(self) -> str:
        """Its state and attributes, for notebooks; never raises, and does not wait for Redis."""
        return self._ec.resource_html(self.guid)


class Inspecting(Scheduling):
    """What scripts call to look at resources, their types, and when they reached their states."""

    #: Where the experiment and its failures are logged.
    logger = logging.getLogger("nepiq.experiment")

    def state(self, guid: Target, hr: bool = False) -> Any:
        """The present state of a resource."""
        raise NotImplementedError

    def resource_html(self, guid: Target) -> str:
        """A table of a resource's state and attributes, for notebooks."""
        raise NotImplementedError

    # -- resources ------------------------------------------------------------------------------

    @property
    def resources(self) -> list[int]:
        """The guids of all resources."""
        self._live.learn()
        resource = self._description.resource
        return [guid for guid in self._description if not resource(guid).cls.internal]

    def get_resource(self, guid: Target) -> ResourceView | None:
        """A resource, to look at; None if there is none."""
        try:
            item = self._description.resource(self.find(guid))
        except UnknownResource:
            return None
        return ResourceView(self, item.guid, item.label, item.cls.rtype)

    def filter_resources(self, rtype: str) -> list[int]:
        """The guids of the resources of exactly that type.

        Raises:
            UnknownType: there is no such type.
        """
        self._live.learn()
        return self._description.of_type(rtype)

    def get_resources_by_type(self, rtype: str) -> list[ResourceView]:
        """The resources of exactly that type; see :meth:`filter_resources`."""
        found = (self.get_resource(guid) for guid in self.filter_resources(rtype))
        return [view for view in found if view is not None]

    def connections(self, guid: Target) -> list[int]:
        """The guids of what a resource is connected with."""
        return self._description.connected(self.find(guid))

    def remove_resource(self, guid: Target) -> None:
        """Take a resource out of the description, with its connections and conditions.

        Raises:
            NotAllowed: it is in the run already; release it instead.
        """
        self._live.remove(self.find(guid))

    # -- types ----------------------------------------------------------------------------------

    def get_attributes(self, guid: Target) -> list[Attribute[Any]]:
        """The attributes that a resource has, as its type declares them."""
        return list(self._class_of(guid).attributes.values())

    def get_attribute(self, guid: Target, name: str) -> Attribute[Any]:
        """An attribute as the type of a resource declares it; :meth:`get` gives its value.

        Raises:
            UnknownAttribute: there is none of this name.
        """
        attributes = self._class_of(guid).attributes
        if name not in attributes:
            raise UnknownAttribute(name, attributes, where=self._description.label(guid))
        return attributes[name]

    def get_traces(self, guid: Target) -> list[Trace]:
        """The traces that a resource has, as its type declares them."""
        return list(self._class_of(guid).traces.values())

    def enable_trace(self, guid: Target, name: str) -> None:
        """Have a trace kept. All are, so this only checks the name.

        Raises:
            TraceNotFound: the type declares no such trace.
        """
        self.trace_enabled(guid, name)

    def trace_enabled(self, guid: Target, name: str) -> bool:
        """True if a trace is kept, which all are.

        Raises:
            TraceNotFound: the type declares no such trace.
        """
        traces = self._class_of(guid).traces
        if name not in traces:
            raise TraceNotFound(name, traces, where=self._description.label(guid))
        return True

    def _class_of(self, guid: Target) -> type[ResourceManager]:
        return self._description.resource(self.find(guid)).cls

    # -- times ----------------------------------------------------------------------------------

    def get_discover_time(self, guid: Target) -> datetime | None:
        """When a resource was DISCOVERED; None if it was not. See :meth:`get_start_time`."""
        return self._time(guid, State.DISCOVERED)

    def get_reserve_time(self, guid: Target) -> datetime | None:
        """When a resource was RESERVED; None if it was not. See :meth:`get_start_time`."""
        return self._time(guid, State.RESERVED)

    def get_provision_time(self, guid: Target) -> datetime | None:
        """When a resource was PROVISIONED; None if it was not. See :meth:`get_start_time`."""
        return self._time(guid, State.PROVISIONED)

    def get_ready_time(self, guid: Target) -> datetime | None:
        """When a resource was READY; None if it was not. See :meth:`get_start_time`."""
        return self._time(guid, State.READY)

    def get_start_time(self, guid: Target) -> datetime | None:
        """When a resource was STARTED, the last time; None if it was not.

        By the clock of Redis, which conditions are reckoned by too; aware, in local time. A
        milestone that was skipped was reached with the one that implied it.
        """
        return self._time(guid, State.STARTED)

    def get_stop_time(self, guid: Target) -> datetime | None:
        """When a resource was STOPPED or FINISHED; None if not. See :meth:`get_start_time`."""
        return self._time(guid, State.STOPPED)

    def get_failed_time(self, guid: Target) -> datetime | None:
        """When a resource FAILED; None if it did not. See :meth:`get_start_time`."""
        return self._time(guid, State.FAILED)

    def get_release_time(self, guid: Target) -> datetime | None:
        """When a resource was RELEASED; None if it was not. See :meth:`get_start_time`."""
        return self._time(guid, State.RELEASED)

    def _time(self, guid: Target, state: State) -> datetime | None:
        at = self._live.reached_at(self.find(guid), state)
        return None if at is None else datetime.fromtimestamp(at).astimezone()

    # -- failures -------------------------------------------------------------------------------

    @property
    def failure_level(self) -> FailureLevel:
        """OK, or RM_FAILURE once a critical resource has failed."""
        return FailureLevel.OK if self._live.failed() is None else FailureLevel.RM_FAILURE

    @property
    def abort(self) -> bool:
        """True once a critical resource has failed: nothing more is deployed or started."""
        return self._live.failed() is not None
