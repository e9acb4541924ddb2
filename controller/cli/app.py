"""The Typer application of all verbs, and the translation of errors into exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer

from ..engine.redis_errors import contact
from ..errors import NepiqError

_verbosity = 0


def _print_version(wanted: bool) -> None:
    if wanted:
        from . import services

        services.version()
        raise typer.Exit


def _options(
    context: typer.Context,
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
    _verbosity = context.obj = verbose


class Verb(NamedTuple):
    """A verb of the command line.

    Attributes:
        name: what users write.
        place: its function, as ``module:function`` of this package, which is imported when it is
            needed: the modules of all verbs take longer than most commands.
        example: a command with it.
    """

    name: str
    place: str
    example: str = ""

    def function(self) -> Callable[..., Any]:
        """Return its function."""
        module, _, name = self.place.partition(":")
        function: Callable[..., Any] = getattr(import_module(f".{module}", __package__), name)
        return function


_VERBS = (
    Verb("run", "run:run", "nepiq run examples/demo.py"),
    Verb("validate", "descriptions:validate", "nepiq validate examples/hello.yaml"),
    Verb("plan", "plan:plan", "nepiq plan examples/hello.yaml"),
    Verb("convert", "descriptions:convert", "nepiq convert old.xml new.yaml"),
    Verb("schema", "descriptions:schema", "nepiq schema > nepiq.schema.json"),
    Verb("ls", "runs:ls", "nepiq ls --json"),
    Verb("status", "runs:status", "nepiq status last --timeline"),
    Verb("attach", "attach:attach", "nepiq attach last --release"),
    Verb("timeline", "pictures:timeline", "nepiq timeline last --html run.html"),
    Verb("plot", "pictures:plot", "nepiq plot examples/demo.py -o demo.svg"),
    Verb("why", "runs:why", "nepiq why last client"),
    Verb("trace", "results:trace", "nepiq trace last client stdout"),
    Verb("logs", "files:logs", "nepiq logs last server client --follow"),
    Verb("files", "files:files", "nepiq files last client logs"),
    Verb("download", "files:download", "nepiq download last client 'logs/*.log' -o ./traces"),
    Verb("upload", "files:upload", "nepiq upload last server client ./input.bin data/input.bin"),
    Verb("results", "results:results", "nepiq results last ./results"),
    Verb("rerun", "rerun:rerun", "nepiq rerun ./crate --sample 20"),
    Verb("release", "runs:release", "nepiq release last"),
    Verb("forget", "runs:forget", "nepiq forget last"),
    Verb("up", "services:up", "nepiq up"),
    Verb("down", "services:down", "nepiq down"),
    Verb("worker", "services:worker", "nepiq worker --site lab2 --concurrency 16"),
    Verb("top", "top:top", "nepiq top"),
    Verb("web", "web:web", "nepiq web last"),
    Verb("metrics", "monitoring:metrics", "nepiq metrics --listen 127.0.0.1:9108"),
    Verb("flower", "monitoring:flower", "nepiq flower --listen 127.0.0.1:5555"),
    Verb("drain", "drain:drain", "nepiq drain lab2-1 --timeout 5m"),
    Verb("clean", "clean:clean", "nepiq clean user@host-1 localhost --dry-run"),
    Verb("doctor", "doctor:doctor", "nepiq doctor"),
    Verb("version", "services:version", "nepiq version"),
)
_POOL_VERBS = (
    Verb("add", "pool:add", "nepiq pool add lab hosts.yaml"),
    Verb("rm", "pool:rm", "nepiq pool rm lab"),
    Verb("ls", "pool:ls", "nepiq pool ls"),
    Verb("show", "pool:show", "nepiq pool show lab"),
)
_CAMPAIGN_VERBS = (
    Verb("plan", "campaign_plan:plan", "nepiq campaign plan sweep.yaml --set rate=1,2,5"),
    Verb("run", "campaigns:run", "nepiq campaign run sweep.yaml --set 'n=range(1,9)' --detach"),
    Verb("ls", "campaigns:ls", "nepiq campaign ls"),
    Verb("status", "campaigns:status", "nepiq campaign status sweep"),
    Verb("watch", "campaigns:watch", "nepiq campaign watch sweep"),
    Verb("pause", "campaigns:pause", "nepiq campaign pause sweep"),
    Verb("resume", "campaigns:resume", "nepiq campaign resume sweep"),
    Verb("stop", "campaigns:stop", "nepiq campaign stop sweep"),
    Verb("cancel", "campaigns:cancel", "nepiq campaign cancel sweep"),
    Verb("add", "campaigns:add", "nepiq campaign add sweep --set rate=10,20"),
    Verb("retry", "campaigns:retry", "nepiq campaign retry sweep"),
    Verb("set", "campaigns:set_", "nepiq campaign set sweep --parallel 16"),
    Verb("results", "campaigns:results", "nepiq campaign results sweep --follow"),
    Verb("summary", "campaigns:summary", "nepiq campaign summary sweep"),
    Verb("export", "campaign_export:export", "nepiq campaign export sweep sweep.csv"),
    Verb("files", "campaigns:files", "nepiq campaign files sweep"),
    Verb("fetch", "campaigns:fetch", "nepiq campaign fetch sweep results/"),
    Verb(
        "compare", "campaign_compare:compare", "nepiq campaign compare sweep --by rate --margin 5%"
    ),
    Verb("rm", "campaigns:rm", "nepiq campaign rm sweep"),
)
_NOUNS = {
    "pool": (
        "Keep pools of hosts that runs lease, and show which runs have them.",
        _POOL_VERBS,
        "nepiq pool ls",
    ),
    "campaign": (
        "Carry out campaigns: many runs of one description over a space of parameters.",
        _CAMPAIGN_VERBS,
        "nepiq campaign plan sweep.yaml",
    ),
}
#: Verbs that pass everything after their first argument to a script or to Celery.
_PASS_THROUGH = {"run:run", "plan:plan", "services:worker", "monitoring:flower"}


def make_app(wanted: str = "") -> typer.Typer:
    """Return the Typer application.

    Args:
        wanted: the only verb or noun that it has; all if empty.
    """
    app = typer.Typer(
        name="nepiq",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    _add(app, (verb for verb in _VERBS if wanted in ("", verb.name)))
    for noun, (purpose, verbs, example) in _NOUNS.items():
        if wanted in ("", noun):
            group = typer.Typer(
                no_args_is_help=True,
                rich_markup_mode=None,
                epilog=f"Example:  {example}",
                help=purpose,
            )
            _add(group, verbs)
            app.add_typer(group, name=noun)
    return app


def _add(app: typer.Typer, verbs: Iterable[Verb]) -> None:
    for verb in verbs:
        settings = {"allow_interspersed_args": False} if verb.place in _PASS_THROUGH else {}
        add = app.command(verb.name, epilog=f"Example:  {verb.example}", context_settings=settings)
        add(verb.function())


def _wanted(arguments: Sequence[str]) -> str:
    """Return the verb or noun of a command line; empty if it may be about several."""
    if "_NEPIQ_COMPLETE" in os.environ:  # a shell asks for completions
        return ""
    name = next((item for item in arguments if item.strip("-v")), "")
    return name if name in _NOUNS or any(verb.name == name for verb in _VERBS) else ""


def main(arguments: Sequence[str]) -> int:
    """Run a command line; return its exit code."""
    try:
        with contact():
            app = make_app(_wanted(arguments))
            # What is loaded until here lives until the exit.
            gc.freeze()
            gc.enable()
            app(args=list(arguments), prog_name="nepiq")
    except NepiqError as error:
        from .console import print_error

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
