"""Verbs about what runs wrote: trace, results."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from ..engine import Run
from ..engine.transfer.outputs import Outputs
from ..errors import HostError
from ..errors.text import harmless
from ..experiment.connect import Access
from ..reports.results import Saved, collect
from ..reports.words import plural, size
from .console import say
from .runs import ResourceName, RunName, find_record


def trace(
    run: RunName,
    resource: ResourceName,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A trace, or a file of the run directory.")
    ] = "stdout",
) -> None:
    """Print an output of a resource, byte for byte.

    On a terminal control characters are shown as text.
    """
    access = Access()
    try:
        found = access.stack.run(run)
        blocks = Outputs(found).read(find_record(found, resource), name)
        if sys.stdout.isatty():
            for text in _for_people(blocks):
                sys.stdout.write(text)
        else:
            for block in blocks:
                sys.stdout.buffer.write(block)
        sys.stdout.flush()
    finally:
        access.close()


def _for_people(blocks: Iterable[bytes]) -> Iterator[str]:
    """Bytes as harmless text; every kind of end of a line is one."""
    decoder = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder("utf-8")("replace"), translate=True
    )
    for block in blocks:
        yield harmless(decoder.decode(block))
    yield harmless(decoder.decode(b"", final=True))


def results(
    run: RunName,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to; made if it does not exist.")
    ],
) -> None:
    """Collect all outputs and the history of a run in a folder."""
    access = Access()
    try:
        collect_into(access.stack.run(run), folder)
    finally:
        access.close()


def collect_into(run: Run, folder: Path) -> None:
    """Collect a run's results and say what is missing.

    Raises:
        HostError: some could not be had.
    """

    def said(saved: Saved) -> None:
        if saved.error:
            say(f"missing: {saved.label} {saved.name}: {saved.error}")

    saved = collect(run, folder, said=said)
    kept = [item for item in saved if not item.error]
    total = size(sum(item.bytes for item in kept))
    sys.stderr.write(f"{plural(len(kept), 'trace')}, {total}, in {folder}\n")
    if len(kept) < len(saved):
        raise HostError(f"{plural(len(saved) - len(kept), 'trace')} could not be collected")
