"""The part of an experiment's face that shows it: pictures, pages, tables in notebooks."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from ..engine.redis_errors import contact
from ..model import registry
from .describing import Describing

if TYPE_CHECKING:
    from ..description.roster import Target
    from ..engine import Run
    from ..engine.store.records import ResourceRecord
    from ..reports.graph.model import Graph
    from ..reports.graph.picture import PFormats
    from ..reports.tables import Row

_PATIENCE = 2.0
"""Seconds that a notebook's table may take to ask Redis."""


class Showing(Describing):
    """What scripts and notebooks call to see the graph and what became of it."""

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        format: str | PFormats | None = None,  # noqa: A002 - NEPI's signature
        show: bool = False,
        *,
        dirpath: str | os.PathLike[str] | None = None,
    ) -> str:
        """Draw the graph of resources: hosts, what acts on them, connections, conditions.

        It needs no run. If there is one, the states of resources are shown. In large graphs
        alike resources of a host are put together: ``ping x 50``; DOT always has all of them.

        Args:
            path: a file, or a directory for ``<exp_id>.<format>``; the current directory by
                default.
            format: ``svg``, ``png`` (needs ``nepiq[plot]``) or ``dot``; NEPI's ``figure`` is
                PNG. By default what the path says, else SVG.
            show: open it with the program that this machine has for such files.
            dirpath: NEPI's name for ``path``.

        Returns:
            The path of the file.

        Raises:
            InvalidValue: there is no such format.
            DescriptionError: what draws PNG is not installed.
            FileMissing: the file cannot be written.
        """
        from ..reports.graph.picture import save

        saved = save(self.graph(), path if dirpath is None else dirpath, format)
        if show:
            _open(saved)
        return saved

    def graph(self) -> Graph:
        """What :meth:`plot` draws: resources, connections and conditions as data."""
        from ..reports.graph.model import described

        self._live.learn()
        with contact():
            return described(self._description, self._run())

    def timeline(self, path: str | os.PathLike[str] | None = None) -> str:
        """What ran when: as text, or as a page of HTML to look into.

        The page needs no other file and no network. It has one bar for each attempt of each
        step, the waits between attempts, and what failed and why.

        Args:
            path: the page to write, or a directory for ``<exp_id>.html``; text is returned if
                it is None.

        Returns:
            The text, empty if nothing has happened; or the path of the page.

        Raises:
            FileMissing: the file cannot be written.
        """
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

    def _repr_html_(self) -> str:
        """A table of the resources, for notebooks; never raises, and does not wait for Redis."""
        from ..reports.markup import experiment_html

        table, about = self._table()
        return experiment_html(self._description.exp_id, about, table)

    def resource_html(self, guid: Target) -> str:
        """A table of a resource's state and attributes, for notebooks; as the table of all."""
        from ..reports.markup import described_html, resource_html

        number, run = self.find(guid), self._run()
        asked = None if run is None else _asked(run)
        records = {record.guid: record for record in asked[1]} if asked else {}
        if number in records:
            return resource_html(records[number], records.values())
        item = self._description.resource(number)
        host = self._description.host_of(number)
        on = "" if host is None or host == number else self._description.label(host)
        return described_html(item.guid, item.label, item.cls.rtype, on, dict(item.attrs))

    def _table(self) -> tuple[list[Row], str]:
        """The rows of a table, and what is known of the run."""
        from ..reports.tables import Row, rows

        run = self._run()
        asked = None if run is None else _asked(run)
        records = asked[1] if asked else []
        known = {row.guid: row for row in rows(records) if not registry.is_internal(row.rtype)}
        host_of, label = self._description.host_of, self._description.label
        state = "NEW" if asked else ""
        for item in self._description.resources():
            if item.cls.internal:
                continue
            host = host_of(item.guid)
            on = "" if host is None or host == item.guid else label(host)
            row = Row(item.guid, item.label, item.cls.rtype, state, None, on, "")
            known.setdefault(item.guid, row)
        if run is None:
            return list(known.values()), "not deployed"
        phase = asked[0] if asked else "Redis does not answer, so states are not known"
        return sorted(known.values(), key=lambda row: row.guid), f"run {run.run_id}, {phase}"

    def _run(self) -> Run | None:
        link = self._live.link
        return None if link is None else link.run


def _asked(run: Run) -> tuple[str, list[ResourceRecord]] | None:
    """The phase of a run and its resources; None if that takes too long or goes wrong."""
    answer: list[Any] = []

    def ask() -> None:
        try:
            with contact():
                answer.append((run.snapshot([]).phase, run.records()))
        except Exception:  # noqa: BLE001 - a table is no place for errors
            return

    # A connection that was cut is tried for half a minute: a notebook must not hang so long.
    asking = threading.Thread(target=ask, name="nepiq-table", daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return answer[0] if answer else None


def _open(path: str) -> None:
    import webbrowser
    from pathlib import Path

    webbrowser.open(Path(path).as_uri())
