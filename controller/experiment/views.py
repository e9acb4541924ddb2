"""Views of an experiment: one resource, the graph, the timeline, and tables for notebooks."""

from __future__ import annotations

import enum
import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

from ..engine import threads
from ..engine.redis_errors import contact
from ..model import registry
from ..model.lifecycle import State
from .replica import Replica

if TYPE_CHECKING:
    from ..description.resource import Resource
    from ..description.roster import Target
    from ..engine import Run
    from ..engine.store.records import ResourceRecord
    from ..reports.failures import Failure
    from ..reports.graph.model import Graph
    from ..reports.graph.picture import PFormats
    from ..reports.tables import Row

_TABLE_SECONDS = 2.0
"""Seconds that a notebook's table waits for Redis."""


class FailureLevel(enum.IntEnum):
    """Severity of the failures of an experiment, with NEPI's numbers."""

    #: No critical resource has failed.
    OK = 1
    #: A critical resource failed, which ended the experiment.
    RM_FAILURE = 2
    #: A failure of NEPI's controller. Never reported: nepiq's state is in Redis and survives that.
    EC_FAILURE = 3


class _Experiment(Protocol):
    """The methods of ExperimentController that a view of a resource uses."""

    def state(self, guid: Target, hr: bool = False) -> Any: ...
    def connections(self, guid: Target) -> list[int]: ...
    def get(self, guid: Target, name: str) -> Any: ...
    def set(self, guid: Target, name: str, value: Any) -> None: ...
    def trace(self, guid: Target, name: str, *args: Any, **options: Any) -> Any: ...
    def resource_html(self, guid: Target) -> str: ...


class ResourceView:
    """One resource of an experiment, as ``ec.get_resource`` returns it; it holds no state itself.

    Attributes:
        guid: its number.
        label: its name.
        rtype: its type.
    """

    def __init__(self, ec: _Experiment, resource: Resource) -> None:
        self._ec = ec
        self.guid = resource.guid
        self.label = resource.label
        self.rtype = resource.cls.rtype

    @property
    def state(self) -> State:
        """The present state."""
        return self._ec.state(self.guid)  # type: ignore[no-any-return]

    @property
    def connections(self) -> list[int]:
        """The guids of the resources that it is connected with."""
        return self._ec.connections(self.guid)

    def get(self, name: str) -> Any:
        """Return the present value of an attribute."""
        return self._ec.get(self.guid, name)

    def set(self, name: str, value: Any) -> None:
        """Set an attribute; see :meth:`.ExperimentController.set`."""
        self._ec.set(self.guid, name, value)

    def trace(self, name: str, *args: Any, **options: Any) -> Any:
        """Return an output; see :meth:`.ExperimentController.trace`."""
        return self._ec.trace(self.guid, name, *args, **options)

    def __repr__(self) -> str:
        return f"<{self.rtype} {self.label} (guid {self.guid})>"

    def _repr_html_(self) -> str:
        """Return its state and attributes, for notebooks; never raises or waits for Redis."""
        return self._ec.resource_html(self.guid)


class Views:
    """Pictures, timelines and tables of an experiment.

    Args:
        replica: the run.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._description = replica.description

    def failures(self) -> list[Failure]:
        """Return the failures of resources, critical ones first."""
        from ..reports.failures import failures

        return failures(self._replica.current.records())

    def graph(self) -> Graph:
        """Return resources, connections and conditions as a graph to draw."""
        from ..reports.graph.model import described

        self._replica.learn()
        with contact():
            return described(self._description, self._run())

    def plot(
        self, path: str | os.PathLike[str] | None, form: str | PFormats | None, *, show: bool
    ) -> str:
        """Draw the graph into a file; return its path."""
        from ..reports.graph.picture import save

        saved = save(self.graph(), path, form)
        if show:
            _open(saved)
        return saved

    def timeline(self, path: str | os.PathLike[str] | None) -> str:
        """Return what ran when as text, or write a page and return its path."""
        from ..reports.history import history
        from ..reports.timeline import timeline

        run = self._run()
        if path is not None:
            from ..reports.page.page import save, story

            with contact():
                return save(story(run, self._description.exp_id), path)
        if run is None:
            return ""
        with contact():
            labels = {record.guid: record.label for record in run.records()}
            return timeline(list(history(run)), labels)

    def experiment_html(self) -> str:
        """Return a table of the resources; never raises, and does not wait for Redis."""
        from ..reports.markup import experiment_html

        table, summary = self._table()
        return experiment_html(self._description.exp_id, summary, table)

    def resource_html(self, guid: int) -> str:
        """Return a table of a resource's state and attributes, as :meth:`experiment_html`."""
        from ..reports.markup import described_html, resource_html

        run = self._run()
        answer = None if run is None else _ask(run)
        records = {record.guid: record for record in answer[1]} if answer else {}
        if guid in records:
            return resource_html(records[guid], records.values())
        with self._description.lock:
            item = self._description.resource(guid)
            host = self._host_label(guid)
            attributes = dict(item.attrs)
        return described_html(item.guid, item.label, item.cls.rtype, host, attributes)

    def _table(self) -> tuple[list[Row], str]:
        """Return the rows of a table, and a summary of the run."""
        from ..reports.tables import Row, rows

        run = self._run()
        answer = None if run is None else _ask(run)
        records = answer[1] if answer else []
        table = {row.guid: row for row in rows(records) if not registry.is_internal(row.rtype)}
        state = "NEW" if answer else ""
        with self._description.lock:  # so that no other thread removes one meanwhile
            for item in self._description.resources():
                if not item.cls.internal:
                    host = self._host_label(item.guid)
                    row = Row(item.guid, item.label, item.cls.rtype, state, None, host, "")
                    table.setdefault(item.guid, row)
        if run is None:
            return list(table.values()), "not deployed"
        phase = answer[0] if answer else "Redis does not answer, so states are not known"
        return sorted(table.values(), key=lambda row: row.guid), f"run {run.run_id}, {phase}"

    def _host_label(self, guid: int) -> str:
        """Return the label of the host that a resource runs on; empty for a host itself."""
        host = self._description.host_of(guid)
        return "" if host is None or host == guid else self._description.label(host)

    def _run(self) -> Run | None:
        link = self._replica.link
        return None if link is None else link.run


def _ask(run: Run) -> tuple[str, list[ResourceRecord]] | None:
    """Return the phase of a run and its resources; None if that takes too long or fails."""
    answers: list[tuple[str, list[ResourceRecord]]] = []

    def ask() -> None:
        try:
            with contact():
                answers.append((run.snapshot([]).phase, run.records()))
        except Exception:  # noqa: BLE001 - a table is no place for errors
            return

    # A lost connection is retried for half a minute: a notebook must not hang so long.
    thread = threading.Thread(target=ask, name="nepiq-table", daemon=True)
    threads.start(thread)
    thread.join(_TABLE_SECONDS)
    return answers[0] if answers else None


def _open(path: str) -> None:
    import webbrowser
    from pathlib import Path

    webbrowser.open(Path(path).as_uri())
