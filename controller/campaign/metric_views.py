"""Views of an ended run for metrics that need no host for what Redis or a file store has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..engine.redis_errors import contact
from ..model.traces import TraceAttr

if TYPE_CHECKING:
    from ..description.description import Description
    from ..engine.transfer.outputs import Outputs
    from .collection import Collection


class Figures:
    """The attributes of an ended run.

    Args:
        description: of the run, or of another one with the same resources.
        attributes: stored attributes by guid.
    """

    def __init__(
        self, description: Description, attributes: Mapping[int, Mapping[str, Any]]
    ) -> None:
        self._description = description
        self._attributes = attributes

    def get(self, guid: str, name: str, /) -> Any:
        """Return the value of an attribute."""
        item = self._description.resource(guid)
        return item.get(name, self._attributes.get(item.guid, {}))

    def trace(self, guid: str, name: str, /, attr: str, block: int, offset: int, text: bool) -> Any:
        """Raise, since a figure is in no trace."""
        raise NotImplementedError


class Recorded(Figures):
    """The attributes and outputs of an ended run, without an experiment that attaches to it.

    Args:
        description: as for :class:`Figures`.
        attributes: likewise.
        outputs: reads the outputs of the run.
    """

    def __init__(
        self,
        description: Description,
        attributes: Mapping[int, Mapping[str, Any]],
        outputs: Outputs,
    ) -> None:
        super().__init__(description, attributes)
        self._outputs = outputs

    def trace(self, guid: str, name: str, /, attr: str, block: int, offset: int, text: bool) -> Any:
        """Return a block of an output.

        Raises:
            RedisUnreachable: Redis does not answer.
        """
        number = self._description.resource(guid).guid
        with contact():
            return self._outputs.trace(
                number, name, TraceAttr(attr), block=block, offset=offset, text=text
            )


class CollectedView:
    """An ended experiment whose collected files are read from the store, not from hosts again.

    Args:
        ec: the experiment, or another view of it; it has all else.
        collection: the collected files.
    """

    def __init__(self, ec: Any, collection: Collection) -> None:
        self._ec = ec
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ec, name)

    def trace(
        self,
        guid: int | str,
        name: str,
        attr: TraceAttr | str = TraceAttr.ALL,
        block: int = 512,
        offset: int = 0,
        text: bool = True,
    ) -> Any:
        """Return an output of a resource; see :meth:`.ExperimentController.trace`."""
        kind = TraceAttr(attr)
        path = None if kind is TraceAttr.PATH else self._collection.path(guid, name)
        if path is None:
            return self._ec.trace(guid, name, attr, block, offset, text)
        if kind is TraceAttr.SIZE:
            return path.stat().st_size
        with path.open("rb") as file:
            file.seek(block * offset if kind is TraceAttr.STREAM else 0)
            data = file.read(block if kind is TraceAttr.STREAM else -1)
        return data.decode("utf-8", "replace") if text else data
