"""The Typer application of all verbs, and the translation of errors into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from ..engine.redis_errors import contact
from ..errors import NepiqError
from . import (
    attach,
    campaign_compare,
    campaign_export,
    campaign_plan,
    campaigns,
    clean,
    descriptions,
    doctor,
    drain,
    files,
    monitoring,
    pictures,
    plan,
    pool,
    rerun,
    results,
    run,
    runs,
    services,
    top,
    web,
)
from .console import print_error

_verbosity = 0


def _print_version(wanted: bool) -> None:
    if wanted:
        services.version()
        raise typer.Exit


def _options(
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Print more; -vv adds tracebacks.")
    ] = 0,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print versions, and exit."
        ),
    ] = False,
) -> None:
    """Run network experiments described in Python, YAML, JSON or XML on distributed workers."""
    global _verbosity  # noqa: PLW0603 - read when an error ends the program
    _verbosity = verbose
    run.set_verbosity(verbose)


_VERBS: tuple[tuple[str, Callable[..., Any], str], ...] = (
    ("run", run.run, "nepiq run examples/demo.py"),
    ("validate", descriptions.validate, "nepiq validate examples/hello.yaml"),
    ("plan", plan.plan, "nepiq plan examples/hello.yaml"),
    ("convert", descriptions.convert, "nepiq convert old.xml new.yaml"),
    ("schema", descriptions.schema, "nepiq schema > nepiq.schema.json"),
    ("ls", runs.ls, "nepiq ls --json"),
    ("status", runs.status, "nepiq status last --timeline"),
    ("attach", attach.attach, "nepiq attach last --release"),
    ("timeline", pictures.timeline, "nepiq timeline last --html run.html"),
    ("plot", pictures.plot, "nepiq plot examples/demo.py -o demo.svg"),
    ("why", runs.why, "nepiq why last client"),
    ("trace", results.trace, "nepiq trace last client stdout"),
    ("logs", files.logs, "nepiq logs last server client --follow"),
    ("files", files.files, "nepiq files last client logs"),
    ("download", files.download, "nepiq download last client 'logs/*.log' -o ./traces"),
    ("upload", files.upload, "nepiq upload last server client ./input.bin data/input.bin"),
    ("results", results.results, "nepiq results last ./results"),
    ("rerun", rerun.rerun, "nepiq rerun ./crate --sample 20"),
    ("release", runs.release, "nepiq release last"),
    ("forget", runs.forget, "nepiq forget last"),
    ("up", services.up, "nepiq up"),
    ("down", services.down, "nepiq down"),
    ("worker", services.worker, "nepiq worker --site lab2 --concurrency 16"),
    ("top", top.top, "nepiq top"),
    ("web", web.web, "nepiq web last"),
    ("metrics", monitoring.metrics, "nepiq metrics --listen 127.0.0.1:9108"),
    ("flower", monitoring.flower, "nepiq flower --listen 127.0.0.1:5555"),
    ("drain", drain.drain, "nepiq drain lab2-1 --timeout 5m"),
    ("clean", clean.clean, "nepiq clean user@host-1 localhost --dry-run"),
    ("doctor", doctor.doctor, "nepiq doctor"),
    ("version", services.version, "nepiq version"),
)
_POOL_VERBS: tuple[tuple[str, Callable[..., Any], str], ...] = (
    ("add", pool.add, "nepiq pool add lab hosts.yaml"),
    ("rm", pool.rm, "nepiq pool rm lab"),
    ("ls", pool.ls, "nepiq pool ls"),
    ("show", pool.show, "nepiq pool show lab"),
)
_CAMPAIGN_VERBS: tuple[tuple[str, Callable[..., Any], str], ...] = (
    ("plan", campaign_plan.plan, "nepiq campaign plan sweep.yaml --set rate=1,2,5"),
    ("run", campaigns.run, "nepiq campaign run sweep.yaml --set 'n=range(1,9)' --detach"),
    ("ls", campaigns.ls, "nepiq campaign ls"),
    ("status", campaigns.status, "nepiq campaign status sweep"),
    ("watch", campaigns.watch, "nepiq campaign watch sweep"),
    ("pause", campaigns.pause, "nepiq campaign pause sweep"),
    ("resume", campaigns.resume, "nepiq campaign resume sweep"),
    ("stop", campaigns.stop, "nepiq campaign stop sweep"),
    ("cancel", campaigns.cancel, "nepiq campaign cancel sweep"),
    ("add", campaigns.add, "nepiq campaign add sweep --set rate=10,20"),
    ("retry", campaigns.retry, "nepiq campaign retry sweep"),
    ("set", campaigns.set_, "nepiq campaign set sweep --parallel 16"),
    ("results", campaigns.results, "nepiq campaign results sweep --follow"),
    ("summary", campaigns.summary, "nepiq campaign summary sweep"),
    ("export", campaign_export.export, "nepiq campaign export sweep sweep.csv"),
    ("files", campaigns.files, "nepiq campaign files sweep"),
    ("fetch", campaigns.fetch, "nepiq campaign fetch sweep results/"),
    ("compare", campaign_compare.compare, "nepiq campaign compare sweep --by rate --margin 5%"),
    ("rm", campaigns.rm, "nepiq campaign rm sweep"),
)
#: Verbs that pass everything after their first argument to a script or to Celery.
_PASS_THROUGH = {"run", "plan", "worker", "flower"}


def make_app() -> typer.Typer:
    """Return the Typer application."""
    app = typer.Typer(
        name="nepiq",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, verb, example in _VERBS:
        settings = {"allow_interspersed_args": False} if name in _PASS_THROUGH else {}
        app.command(name, epilog=f"Example:  {example}", context_settings=settings)(verb)
    pools = "Keep pools of hosts that runs lease, and show which runs have them."
    app.add_typer(_group(pools, _POOL_VERBS, "nepiq pool ls"), name="pool")
    campaigns = "Carry out campaigns: many runs of one description over a space of parameters."
    example = "nepiq campaign plan sweep.yaml"
    app.add_typer(_group(campaigns, _CAMPAIGN_VERBS, example), name="campaign")
    return app


def _group(
    purpose: str, verbs: Sequence[tuple[str, Callable[..., Any], str]], example: str
) -> typer.Typer:
    """Return the Typer application of the verbs of one noun."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        epilog=f"Example:  {example}",
        help=purpose,
    )
    for name, verb, example_of_verb in verbs:
        group.command(name, epilog=f"Example:  {example_of_verb}")(verb)
    return group


def main(arguments: Sequence[str]) -> int:
    """Run a command line; return its exit code."""
    try:
        with contact():
            make_app()(args=list(arguments), prog_name="nepiq")
    except NepiqError as error:
        return print_error(error, _verbosity)
    except KeyboardInterrupt:
        return 130
    except SystemExit as error:
        return _code(error)
    return 0


def _code(error: SystemExit) -> int:
    if isinstance(error.code, str):
        sys.stderr.write(error.code + "\n")
        return 1
    return error.code or 0
