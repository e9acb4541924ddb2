"""Verbs that show runs: plot, timeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..reports.history import history
from ..reports.timeline import timeline as bars
from .child import is_description
from .console import Talk, ascii_only
from .runs import RunName, reading

if TYPE_CHECKING:
    from ..reports.graph.model import Graph


def plot(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run, as for other verbs; or a script, which is carried out as far as its "
            "first deploy(), or a description.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A file (.svg, .png, .dot) or a directory; - prints SVG or DOT."
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the name of the option
        str, typer.Option(help="svg, png or dot; by default what the output says, else svg.")
    ] = "",
) -> None:
    """Draw the graph of resources: hosts, connections, conditions, and states if it runs."""
    from ..reports.graph.picture import PFormats, drawn, save

    graph = _graph(run)
    if str(output) == "-":
        kind = PFormats.parse(format or "svg").kind
        sys.stdout.buffer.write(drawn(graph, kind))
        return
    sys.stderr.write(f"drawn into {save(graph, output, format or None)}\n")


def _graph(name: str) -> Graph:
    file = Path(name)
    if file.suffix == ".py":
        return _of_script(file)
    if is_description(file):
        return _of_document(file)
    from ..reports.graph.model import running

    with reading() as access:
        return running(access.stack.run(name))


def _of_document(file: Path) -> Graph:
    from ..experiment.controller import ExperimentController

    return ExperimentController.load(file).graph()


def _of_script(file: Path) -> Graph:
    """The graph that a script has described when it calls deploy().

    Raises:
        InvalidValue: there is no such script, or it deploys nothing.
    """
    from .dry_run import Ended, Rehearsed, rehearse

    drawn: list[Graph] = []

    def draw(ec: Rehearsed, *_: Any) -> None:
        drawn.append(ec.graph())
        raise Ended

    rehearse(file, [], draw, say=True)
    return drawn[0]


def timeline(
    run: RunName,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page to look into, for any browser."),
    ] = None,
) -> None:
    """Show what ran when: drawn here, or as a page of HTML that needs nothing else."""
    with reading() as access:
        found = access.stack.run(run)
        if html is not None:
            from ..reports.page.page import save, story

            sys.stderr.write(f"written into {save(story(found, found.exp_id), html)}\n")
            return
        events = list(history(found))
        labels = {record.guid: record.label for record in found.records()}
    out = Talk().out
    text = bars(events, labels, width=out.width, ascii_only=ascii_only(out))
    out.print(text, soft_wrap=True)
