"""Shared work: what one resource of a host does at its deployment for all others on it."""

from __future__ import annotations

from collections.abc import Iterable

from .description import Description

_Work = tuple[int | None, str]


class Leaders:
    """The resources that do the shared work of hosts; see :meth:`ResourceManager.shared_work`.

    Args:
        description: the experiment.
    """

    def __init__(self, description: Description) -> None:
        self._description = description
        self._chosen: dict[_Work, int] = {}
        self._proposed: dict[_Work, int] = {}

    def propose(self, guids: Iterable[int]) -> None:
        """Choose among resources that are to be deployed; the choice has to be confirmed.

        Args:
            guids: the resources; the first on a host is chosen, if none was confirmed before.
        """
        self._proposed.clear()
        for guid in guids:
            work = self._work_of(guid)
            if work is not None and work not in self._chosen:
                self._proposed.setdefault(work, guid)

    def of(self, guid: int) -> int | None:
        """Return the resource that does the shared work for another, or None if there is none."""
        work = self._work_of(guid)
        return None if work is None else self._chosen.get(work, self._proposed.get(work))

    def _work_of(self, guid: int) -> _Work | None:
        item = self._description.resource(guid)
        if not item.cls.leading:
            return None
        name = self._description.instance(guid).shared_work()
        return (self._description.host_of(guid), name) if name else None

    def confirm(self, guids: Iterable[int]) -> None:
        """Keep the choices among resources that are uploaded now, and will be deployed."""
        uploaded = set(guids)
        self._chosen |= {work: guid for work, guid in self._proposed.items() if guid in uploaded}
        self._proposed.clear()
