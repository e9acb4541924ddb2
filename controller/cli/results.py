"""Verbs that read outputs of runs: trace, results."""

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
from ..errors.text import escaped
from ..experiment.connect import Access
from ..reports.results import Saved, collect
from ..reports.words import plural, size
from .console import print_message
from .runs import ResourceName, RunName, find_record


def trace(
    run_name: RunName,
    resource: ResourceName,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A trace, or a file in the run directory.")
    ] = "stdout",
) -> None:
    """Print an output of a resource byte for byte.

    On a terminal, control characters are printed as text.
    """
    access = Access()
    try:
        run = access.backend.run(run_name)
        blocks = Outputs(run).read(find_record(run, resource), name)
        if sys.stdout.isatty():
            for text in _printable(blocks):
                sys.stdout.write(text)
        else:
            for block in blocks:
                sys.stdout.buffer.write(block)
        sys.stdout.flush()
    finally:
        access.close()


def _printable(blocks: Iterable[bytes]) -> Iterator[str]:
    """Yield bytes as text without control characters, with every kind of line end as a newline."""
    decoder = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder("utf-8")("replace"), translate=True
    )
    for block in blocks:
        yield escaped(decoder.decode(block))
    yield escaped(decoder.decode(b"", final=True))


def results(
    run_name: RunName,
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Directory to write; created if it does not exist."),
    ],
) -> None:
    """Collect all outputs and the history of a run in a directory."""
    access = Access()
    try:
        collect_into(access.backend.run(run_name), folder)
    finally:
        access.close()


def collect_into(run: Run, folder: Path) -> None:
    """Collect the results of a run and print those that are missing.

    Raises:
        HostError: some traces could not be collected.
    """

    def report(item: Saved) -> None:
        if item.error:
            print_message(f"missing: {item.label} {item.name}: {item.error}")

    items = collect(run, folder, on_saved=report)
    saved = [item for item in items if not item.error]
    total = size(sum(item.bytes for item in saved))
    sys.stderr.write(f"{plural(len(saved), 'trace')}, {total}, in {folder}\n")
    if len(saved) < len(items):
        raise HostError(f"{plural(len(items) - len(saved), 'trace')} could not be collected")
