"""Contents of this machine that resources bring along, as a session knows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ..model.contents import MOST_INLINE, Content, Contents
from ..model.spec import ResourceSpec

if TYPE_CHECKING:
    from ..settings import Settings
    from .deposits import Deposits
    from .replica import Replica


class LocalContents:
    """The contents of the resources that a session deploys.

    Args:
        settings: of the client.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: dict[str, Content] = {}

    @cached_property
    def _deposits(self) -> Deposits:
        # Imported late: most experiments bring nothing.
        from .deposits import Deposits

        return Deposits(self._settings)

    def bring(self, replica: Replica, guids: Sequence[int], check: Callable[[], object]) -> None:
        """Find and deposit what resources bring along, which may take long. Never in a turn.

        Args:
            replica: the run, which is created if there is something to deposit.
            guids: the resources.
            check: raises if they cannot be deployed.

        Raises:
            FileMissing: a path cannot be read.
            InvalidValue: it is too large, or not a file.
        """
        named = replica.description.local_paths(guids)
        if not named:
            return
        with replica.turn:
            check()
        self._bring(replica, list(named.values()))

    def _bring(self, replica: Replica, named: Sequence[Sequence[str]]) -> None:
        """Find and deposit the contents of several resources, given by the paths of each."""
        self._found.update(self._deposits.find(path for paths in named for path in paths))
        contents = [item for paths in named for item in self._contents(paths).items()]
        self._deposits.bring(replica.open().access.backend.contents, contents)

    def _contents(self, paths: Sequence[str]) -> Contents:
        """Return the contents of one resource."""
        contents = Contents((path, self._found[path]) for path in paths)
        if sum(content.size for content in contents.values() if content.inline) > MOST_INLINE:
            # Hundreds of records with them would fill Redis.
            return Contents((path, one._replace(data="")) for path, one in contents.items())
        return contents

    def added(self, replica: Replica, spec: ResourceSpec) -> ResourceSpec:
        """Return the spec of a resource with the contents that it brings along."""
        paths = replica.description.local_paths([spec.guid]).get(spec.guid)
        if not paths:
            return spec
        if any(path not in self._found for path in paths):  # another thread has set them since
            self._bring(replica, [paths])
        attributes = replica.description.resource(spec.guid).cls.attributes
        name = next(name for name, one in attributes.items() if one.kind is Contents)
        return spec._replace(attributes={**spec.attributes, name: self._contents(paths).written()})
