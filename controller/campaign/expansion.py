"""Expansions: the descriptions of the points of a space, as one of them and what differs."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from ..engine.store.forms import dumps
from ..errors import CampaignError
from ..model.parameters import OF_RUNS
from .segment import Segment
from .space import point_id

_Path = tuple[str, ...]


class Expansion:
    """The descriptions of the points of a space.

    Points mostly differ in few values, so that a description is what differs from the first one.

    Args:
        text: what :meth:`pack` returned.
    """

    def __init__(self, text: str) -> None:
        data = json.loads(zlib.decompress(base64.b64decode(text)))
        self._base = data["base"]
        self._paths: Sequence[Sequence[str]] = data["paths"]
        self._changes: Sequence[Any] = data["changes"]

    @staticmethod
    def pack(documents: Iterable[Any]) -> str:
        """Return descriptions as text.

        Args:
            documents: plain data; or text, the error of a point that cannot be described.
        """
        base: Any = None
        paths: dict[_Path, int] = {}
        changes: list[Any] = []
        for document in documents:
            if isinstance(document, str):
                changes.append(document)
                continue
            base = document if base is None else base
            changes.append(
                [
                    [paths.setdefault(path, len(paths)), value]
                    for path, value in _differences(base, document, ())
                ]
            )
        text = dumps({"base": base, "paths": list(paths), "changes": changes})
        return base64.b64encode(zlib.compress(text.encode(), 9)).decode()

    def __len__(self) -> int:
        return len(self._changes)

    def document(self, index: int) -> Any:
        """Return the description of a point.

        Raises:
            CampaignError: it could not be described.
        """
        changes = self._changes[index]
        if isinstance(changes, str):
            raise CampaignError(changes)
        document = {"": deepcopy(self._base)}
        for number, value in changes:
            *parents, last = ("", *self._paths[number])
            part: Any = document
            for key in parents:
                part = part[key]
            part[last] = value
        return document[""]


class ExpandedRuns:
    """The descriptions of the runs of a campaign, made by a function of its script.

    Args:
        segments: the spaces of the campaign.

    Attributes:
        takes: nothing, since the seed and the repetition of a run are places in its description.
    """

    takes: frozenset[str] = frozenset()

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._found: dict[str, tuple[Expansion, int]] = {}

    def load(self) -> ExpandedRuns:
        """Return itself; there is nothing to import."""
        return self

    def document(self, values: Mapping[str, Any]) -> Any:
        """Return the description of a run; see :meth:`Expansion.document`."""
        if not self._found:
            for segment in self._segments:
                if segment.built:
                    expansion = Expansion(segment.built)
                    ids = enumerate(segment.ids())
                    self._found.update({point: (expansion, index) for index, point in ids})
        point = point_id({name: value for name, value in values.items() if name not in OF_RUNS})
        expansion, index = self._found[point]
        return expansion.document(index)


def _differences(base: Any, other: Any, path: _Path) -> Iterator[tuple[_Path, Any]]:
    """Yield the smallest parts that differ; the order of keys counts, it numbers resources."""
    if isinstance(base, dict) and isinstance(other, dict) and list(base) == list(other):
        for key, value in base.items():
            yield from _differences(value, other[key], (*path, key))
    elif base is not other and dumps(base) != dumps(other):  # 1, 1.0 and True are equal
        yield path, other
