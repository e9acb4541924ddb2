"""The collection of files of an ended run, before the directories of the run go."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..engine.transfer.directories import TREE, Gathered
from ..engine.transfer.outputs import Outputs
from ..engine.transfer.sources import is_pattern, parted
from ..errors import HostUnreachable, IsDirectory, NepiqError, TransferSilent
from ..experiment.unpacking import members

if TYPE_CHECKING:
    from ..engine.store.records import ResourceRecord
    from .file_store import FileStore, StoredFile


class Collection:
    """Files of one ended run, brought into a file store.

    A file that cannot be read is entered there with the reason. A host that does not answer is
    tried once.

    Args:
        store: the store.
        outputs: reads the outputs of the run.
        guids: guids of the resources by label.

    Attributes:
        store: as given.
        files: the stored and missing files, after :meth:`bring`.
    """

    def __init__(self, store: FileStore, outputs: Outputs, guids: Mapping[str, int]) -> None:
        self.store = store
        self._outputs = outputs
        self._guids = guids
        self._lost: dict[int | None, NepiqError] = {}
        self._errors: dict[tuple[str, str], NepiqError] = {}
        self.files: list[StoredFile] = []

    def bring(self, wanted: Mapping[str, Sequence[str]]) -> None:
        """Bring files into the store, in place of those that it has of the run.

        Args:
            wanted: traces, paths in the run directory, or patterns, by label of the resource. A
                directory stands for all files below it.

        Raises:
            FileMissing: the store cannot be written, for example because the disk is full.
        """
        self.files = self.store.add(self._outputs.run.run_id, self._all(wanted))

    def discard(self) -> None:
        """Take the run out of the store again."""
        self.store.remove(self._outputs.run.run_id)
        self.files = []

    def path(self, resource: int | str, name: str) -> Path | None:
        """Return where the store has a file; None if it was not collected.

        Args:
            resource: guid or label of the resource.
            name: name of the file.

        Raises:
            NepiqError: it could not be read from its host.
        """
        for file in self.files:
            if file.name == name and resource in (file.label, self._guids[file.label]):
                if error := self._errors.get((file.label, name)):
                    raise error
                return self.store.path(self._outputs.run.run_id, file.label, name)
        return None

    # -- inside -------------------------------------------------------------------------------

    def _all(
        self, wanted: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[str, str, Iterator[bytes]]]:
        seen: set[tuple[str, str]] = set()
        for label, names in wanted.items():
            if label not in self._guids:
                continue  # a resource that not all points have
            record = self._outputs.run.record(self._guids[label])
            for name in names:
                for path, blocks in self._of(record, name):
                    if (label, path) not in seen:
                        seen.add((label, path))
                        yield label, path, self._noted(record, label, path, blocks)

    def _of(self, record: ResourceRecord, name: str) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield the file of a name, or the files that it stands for."""
        try:
            if lost := self._lost.get(record.host):
                raise lost
            if not _was_ready(record):
                raise self._outputs.missing(record, name)
            if not is_pattern(name) and name != ".":
                with contextlib.suppress(IsDirectory):
                    yield name, _begun(self._outputs.read(record, name))
                    return
            yield from self._gathered(record, name)
        except NepiqError as error:
            yield name, _Failing(error)

    def _gathered(self, record: ResourceRecord, name: str) -> Iterator[tuple[str, Iterator[bytes]]]:
        facts: list[Gathered] = []
        blocks = self._outputs.gather(record, name, on_facts=facts.append)
        with contextlib.closing(blocks):
            first = next(blocks, b"")
            folder = PurePosixPath(name if facts[0].kind == TREE else parted(name)[0])
            for path, content in members(itertools.chain([first], blocks)):
                raw = str(folder / path).encode("utf-8", "surrogateescape")
                yield raw.decode("utf-8", "backslashreplace"), content

    def _noted(
        self, record: ResourceRecord, label: str, name: str, blocks: Iterator[bytes]
    ) -> Iterator[bytes]:
        """Yield blocks; keep their error, for other files of the host and for metrics."""
        try:
            yield from blocks
        except NepiqError as error:
            self._errors[label, name] = error
            if isinstance(error, HostUnreachable | TransferSilent):
                self._lost[record.host] = error
            raise


def _was_ready(record: ResourceRecord) -> bool:
    """Return whether a resource was deployed; a release counts as every milestone."""
    ready, released = (record.milestones.get(name) for name in ("READY", "RELEASED"))
    return ready is not None and (released is None or ready < released)


def _begun(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Return blocks of which the first one has been read, so that errors are raised here."""
    first = next(blocks, b"")
    return itertools.chain([first] if first else [], blocks)


class _Failing:
    """The blocks of a file that cannot be read."""

    def __init__(self, error: NepiqError) -> None:
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        raise self._error
