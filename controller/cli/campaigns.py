"""Verbs about campaigns: campaign run, ls, status, pause, resume, stop, cancel, and so on."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidValue
from ..reports.words import clock, plural
from .campaign_plan import Repetitions, Settings
from .campaign_progress import INTERRUPTED, follow, lines, summary_table
from .console import Consoles, print_json, print_line, print_message, simple_table
from .runs import AsJson, reading

if TYPE_CHECKING:
    from ..campaign.campaign import Campaign
    from ..engine.campaign_records import CampaignRecord

Name = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Name of the campaign.")]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIR", help="Bring collected files here at the end."),
]


def _attached(name: str) -> Campaign:
    # Every command loads this module; that of campaigns would make each take half as long again.
    from ..campaign.campaign import Campaign

    return Campaign.attach(name)


def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A description with a campaign: .yaml or .json.")
    ],
    settings: Settings = None,
    repetitions: Repetitions = None,
    name: Annotated[str, typer.Option(help="Its name; by default that of the experiment.")] = "",
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return at once; the workers go on.")
    ] = False,
    reviewed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="A file of the git tree whose changes have no secrets; may be repeated.",
        ),
    ] = None,
    folder: Folder = None,
) -> None:
    """Carry out a campaign, and show its progress until it has ended.

    The workers carry it out: with ctrl-C the command ends, and the campaign goes on.
    """
    from ..campaign.campaign import Campaign
    from ..campaign.campaign_file import read

    described = read(file, settings or (), repetitions)
    for warning in described.warnings:
        print_message(warning)
    with Campaign(described, name=name) as campaign:
        campaign.submit(reviewed=reviewed or ())
        if detach:
            typer.echo(campaign.name)
            return
        raise typer.Exit(_followed(campaign, folder))


def ls(as_json: AsJson = False) -> None:
    """List the campaigns, the latest first."""
    with reading() as access:
        backend = access.backend
        records = [backend.campaign(name).record() for name in backend.campaigns()]
    found = [record for record in records if record is not None]
    if as_json:
        print_json([_data(record) for record in found])
        return
    if not found:
        sys.stderr.write("no campaigns yet\n")
        return
    table = simple_table("campaign", "phase", "created", "ended", "under way", "failed", "why")
    for record in found:
        done = f"{record.done} of {record.total}"
        numbers = (str(record.active or ""), str(record.failed or ""))
        table.add_row(record.name, record.phase, clock(record.created), done, *numbers, record.why)
    Consoles().out.print(table)


def status(name: Name, as_json: AsJson = False) -> None:
    """Show how far a campaign is, and why runs failed or were begun again."""
    with _attached(name) as campaign:
        record, causes, health = campaign.status(), campaign.causes(), campaign.health()
        repeats = campaign.repeats()
    if as_json:
        failed = [
            {"cause": cause, "runs": count, "example": example}
            for cause, (count, example) in causes.items()
        ]
        again = [{"cause": cause, **item._asdict()} for cause, item in repeats.items()]
        told = {"causes": failed, "repeats": again, "health": asdict(health)}
        print_json({**_data(record), **told})
        return
    for line in lines(record, causes, health, repeats=repeats):
        print_line(line)


def watch(name: Name, folder: Folder = None) -> None:
    """Show the progress of a campaign until it does nothing more, or until ctrl-C."""
    with _attached(name) as campaign:
        raise typer.Exit(_followed(campaign, folder))


def pause(name: Name) -> None:
    """Begin no further run; those under way go on."""
    with _attached(name) as campaign:
        campaign.pause()


def resume(name: Name) -> None:
    """Go on with a campaign that was paused, stopped or cancelled."""
    with _attached(name) as campaign:
        campaign.resume()


def stop(name: Name) -> None:
    """Begin no further run, and end once those under way have ended."""
    with _attached(name) as campaign:
        campaign.stop()


def cancel(name: Name) -> None:
    """Begin no further run, and release those under way; they are begun again after resume."""
    with _attached(name) as campaign:
        campaign.cancel()


def add(
    name: Name,
    settings: Settings = None,
    repetitions: Annotated[int, typer.Option(min=1, help="Number of runs at each point.")] = 1,
) -> None:
    """Add points; those that the campaign has already are left out."""
    from ..campaign.campaign_file import settings_of
    from ..campaign.space import Space

    values = settings_of(settings or ())
    if not values:
        raise InvalidValue("no points are given", hint="write --set NAME=VALUES")
    with _attached(name) as campaign:
        count = campaign.add(Space.grid(**values), repetitions)
    sys.stderr.write(f"{plural(count, 'run')} added\n")


def retry(
    name: Name,
    cause: Annotated[str, typer.Option(help="Only runs with this cause.")] = "",
) -> None:
    """Begin failed runs again, after their rows are deleted."""
    with _attached(name) as campaign:
        count = campaign.retry(cause)
    sys.stderr.write(f"{plural(count, 'run')} to begin again\n")


def set_(
    name: Name,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="How many runs may be under way.")
    ] = None,
    repetitions: Annotated[
        int | None, typer.Option(min=1, help="Number of runs at each point; more than so far.")
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(help="Campaigns with a higher one get hosts of pools first: -100 to 100."),
    ] = None,
) -> None:
    """Change how many runs may be under way or the priority, or add repetitions at all points."""
    if parallel is None and repetitions is None and priority is None:
        hint = "write --parallel N, --repetitions N or --priority N"
        raise InvalidValue("nothing is set", hint=hint)
    with _attached(name) as campaign:
        campaign.set(parallel=parallel, repetitions=repetitions, priority=priority)


def rm(
    name: Name,
    files: Annotated[
        bool, typer.Option("--files", help="Delete its collected files too, where they are kept.")
    ] = False,
) -> None:
    """Delete a campaign that has ended, and its rows."""
    with _attached(name) as campaign:
        campaign.remove(files=files)


def results(
    name: Name,
    wait: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for the rows of further runs.")
    ] = False,
) -> None:
    """Print the rows of a campaign, one JSON object a line."""
    with _attached(name) as campaign:
        for row in campaign.rows(follow=wait):
            print_line(row.to_json())


def summary(name: Name, as_json: AsJson = False) -> None:
    """Show the mean of each metric at each point, with its 95 % confidence interval."""
    from ..campaign.summary import summaries

    with _attached(name) as campaign:
        points = summaries(campaign.rows())
    if as_json:
        print_json([point.to_data() for point in points])
    elif points:
        Consoles().out.print(summary_table(points))
    else:
        sys.stderr.write("no run has ended yet\n")


def files(
    name: Name,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Only those of this run.")] = "",
) -> None:
    """Print the collected files of a campaign, one JSON object a line."""
    with _attached(name) as campaign:
        for row, found in campaign.files(run):
            for file in found:
                given = {name: value for name, value in asdict(file).items() if value != ""}
                data = {"run": row.run_id, **given, "on": row.files_on}
                print_line(json.dumps(data, ensure_ascii=False))


def fetch(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="It is created.")],
    runs: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Only this run; may be repeated."),
    ] = None,
) -> None:
    """Bring the collected files of a campaign here, each content once.

    With --run they are also copied to FOLDER/RUN/RESOURCE/FILE.
    """
    with _attached(name) as campaign:
        store = campaign.export(folder, runs or ())
    for run in runs or ():
        store.export(run, folder / run)
    sys.stderr.write(f"files of {plural(len(store.runs()), 'run')} in {folder}\n")


def _followed(campaign: Campaign, folder: Path | None) -> int:
    """Show the progress, bring files here; return the exit code."""
    code = follow(campaign)
    if folder is not None and code != INTERRUPTED:
        store = campaign.export(folder)
        print_message(f"files of {plural(len(store.runs()), 'run')} in {folder}")
    return code


def _data(record: CampaignRecord) -> dict[str, object]:
    return {**asdict(record), "done": record.done}
