"""The README of a crate: its contents, its results, and the command that repeats it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors.text import one_line
from ...reports.words import plural
from ..summary import summaries
from . import layout
from .content import functions_of
from .figures import MOST_POINTS, table_of

if TYPE_CHECKING:
    from .artifact import ShortRun
    from .content import Content
    from .terms import License


def readme(content: Content, terms: License, folder: Path, short: ShortRun | None) -> str:
    """Return the README of a crate.

    Args:
        content: the campaign.
        terms: its license.
        folder: the crate, with its other files.
        short: the short run of an artifact; None if the crate is none.
    """
    record = content.record
    return "\n".join(
        [
            f"# Campaign {content.name}",
            "",
            f"{record.done} of {plural(record.total, 'run')} of the network experiment "
            f"`{content.exp_id}`: {record.finished} finished, {record.failed} failed.",
            "",
            "## Repeat it",
            "",
            *_repeat(content),
            "",
            *([] if short is None else [*short.lines(), ""]),
            "## Contents",
            "",
            *_contents(content, folder),
            "",
            "## Results",
            "",
            *_results(content),
            "",
            "## License",
            "",
            f"[{terms.name}]({terms.url})",
            "",
        ]
    )


def _repeat(content: Content) -> Iterator[str]:
    functions = functions_of(content.plan)
    if functions:
        yield f"It needs functions of a script, {', '.join(functions)}, which this crate does not"
        yield "have: nepiq cannot repeat it without that script."
        return
    versions = content.provenance.versions
    version = f"=={versions['nepiq']}" if "nepiq" in versions else ""
    yield "In this folder:"
    yield ""
    yield "```console"
    yield f"$ pip install 'nepiq[statistics]{version}'"
    yield f"$ {content.rerun}"
    yield "```"
    yield ""
    if content.plan.build and not content.code:
        yield f"Its runs are described by the function `{content.plan.build}`, whose module is not"
        yield "in this crate: install it first, also where the workers run."
        yield ""
    yield "The second command carries the runs out again, names versions that differ from those of"
    yield "this crate, and compares each metric. With `--sample 20` it repeats 20 runs only; with"
    yield "`--pool NAME` it uses the hosts of a pool in place of those of the experiment:"
    yield ""
    for host in content.hosts:
        facts = (str(host.facts.get(name, "")) for name in ("os", "kernel", "processor"))
        tools = {
            f"{label}: {value}"
            for label, values in host.resources.items()
            for value in map(str, values.values())
        }
        shown = ", ".join(filter(None, [*facts, *sorted(tools)]))
        yield f"- `{one_line(host.name, 60)}`: {one_line(shown, 300)}"


def _contents(content: Content, folder: Path) -> Iterator[str]:
    yield "| file | contents |"
    yield "|---|---|"
    for name, (_, holds, _) in content.files.items():
        if name != layout.README and (folder / name).exists():
            yield f"| `{name}` | {holds} |"
    yield f"| `{layout.METADATA}` | Metadata of this RO-Crate (Process Run Crate) |"


def _results(content: Content) -> Iterator[str]:
    points = summaries(content.rows())
    if len(points) > MOST_POINTS:
        yield f"{plural(len(points), 'point')}: see `{layout.TABLE}`."
        return
    yield "Means, with half the width of their 95 % confidence intervals:"
    yield ""
    yield from table_of(points)
