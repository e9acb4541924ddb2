"""Verbs that draw runs: plot, timeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..reports.history import history
from ..reports.timeline import timeline as draw_timeline
from .child import is_description
from .console import Consoles, ascii_only
from .runs import RunName, reading

if TYPE_CHECKING:
    from ..reports.graph.model import Graph


def plot(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run, as for other verbs; a script, which runs up to its first deploy(); or a "
            "description.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File (.svg, .png, .dot) or directory to write; - prints the picture.",
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the name of the option
        str, typer.Option(help="svg, png or dot; by default the suffix of the output, else svg.")
    ] = "",
) -> None:
    """Draw the graph of resources: hosts, connections, conditions, and the states of a run."""
    from ..reports.graph.picture import PFormats, drawn, save

    graph = _graph(name)
    if str(output) == "-":
        kind = PFormats.parse(format or "svg").kind
        sys.stdout.buffer.write(drawn(graph, kind))
        return
    sys.stderr.write(f"wrote {save(graph, output, format or None)}\n")


def _graph(name: str) -> Graph:
    file = Path(name)
    if file.suffix == ".py":
        return _graph_of_script(file)
    if is_description(file):
        return _graph_of_description(file)
    from ..reports.graph.model import running

    with reading() as access:
        return running(access.backend.run(name))


def _graph_of_description(file: Path) -> Graph:
    from ..experiment.controller import ExperimentController

    return ExperimentController.load(file).graph()


def _graph_of_script(file: Path) -> Graph:
    """Return the graph that a script has described at its first deploy().

    Raises:
        InvalidValue: the script does not exist, or deploys nothing.
    """
    from .dry_run import DryRunController, StopScript, dry_run

    graphs: list[Graph] = []

    def draw(ec: DryRunController, *_: Any) -> None:
        graphs.append(ec.graph())
        raise StopScript

    dry_run(file, [], draw, output=True)
    return graphs[0]


def timeline(
    run_name: RunName,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an interactive page of HTML instead."),
    ] = None,
) -> None:
    """Draw the timeline of a run on the terminal, or write it as a self-contained HTML page."""
    with reading() as access:
        run = access.backend.run(run_name)
        if html is not None:
            from ..reports.page.page import save, story

            sys.stderr.write(f"wrote {save(story(run, run.exp_id), html)}\n")
            return
        events = list(history(run))
        labels = {record.guid: record.label for record in run.records()}
    out = Consoles().out
    text = draw_timeline(events, labels, width=out.width, ascii_only=ascii_only(out))
    out.print(text, soft_wrap=True)
