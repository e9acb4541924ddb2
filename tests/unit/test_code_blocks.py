"""The code blocks of all pages: Python runs as a dry run, commands parse, files are valid.

The blocks of a page run in one process, one after the other, with the names of ``PRELUDE`` and of
``BEFORE``; deployments are planned on simulated hosts. Some pages have tests of their own:
``test_results_page.py``, ``test_plugin.py``, ``tests/e2e/test_examples.py``,
``tests/e2e/test_campaign_examples.py``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
import shutil
import textwrap
import webbrowser
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml
from tests.unit.test_docs import PAGES, ROOT, name_of
from typer.core import TyperGroup

from nepiq.controller import Campaign
from nepiq.controller.cli import dry_run, main
from nepiq.controller.cli.app import make_app

OWN_TESTS = {
    "docs/campaigns-results.md",
    "docs/testbed.md",
    "docs/tutorial-campaign.md",
    "docs/writing-resources.md",
    "examples/plugin/README.md",
}

#: Names that pages use without defining them.
PRELUDE = """
import functools
from nepiq.controller import *
ec = ExperimentController("page")
node = ec.register_resource("linux::Node", hostname="here")
host, left, right = node, *(ec.register_resource("linux::Node", hostname=n) for n in ("a", "b"))
app = ec.register_resource("linux::Application", command="true", connectedTo=node)
"""

#: What a reader has before a block, by its page and its beginning.
BEFORE = {
    ("docs/nepi.md", "# export NEPIQ_IMPORTS"): """
import types
mylab = types.SimpleNamespace(actions=types.SimpleNamespace(toggle=print))
""",
    ("docs/ns3.md", "pause ="): """
sources = [ec.register_resource("ns3::OnOffApplication", connectedTo="n1")]
""",
    ("docs/ns3.md", "ec.enable_trace"): """
ec = ExperimentController("traces")
host = ec.register_resource("linux::Node")
simulation = ec.register_resource("linux::ns3::Simulation", connectedTo=host)
inside = ec.register_resource("ns3::Node", connectedTo=simulation, enableStack=True)
for label in ("eth1", "eth2"):
    device = ec.register_resource("ns3::PointToPointNetDevice", label=label, connectedTo=inside)
ping, server = (ec.register_resource("ns3::Ping", connectedTo=inside) for _ in range(2))
""",
    ("docs/tools.md", "capture ="): """
client = ec.register_resource("linux::Ping", target="fit02", connectedTo=node)
""",
}
#: Parts of blocks that are shortened for the reader.
SHORT = {"sha256=5f1c...": f"sha256={'5f1c' * 16}"}
#: Files of this machine that blocks name.
FILES = ("lab.cc", "topology.h", "probe.sh", "targets.txt", "probe/Makefile", "input.bin")


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in re.finditer(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        line = text[: match.start()].count("\n") + 1
        yield Block(page, line, match[2], textwrap.dedent(match[3]))


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


PYTHON = sorted({block.page for block in of("python") if name_of(block.page) not in OWN_TESTS})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with the files that blocks name."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(ROOT / "examples" / "hello.yaml", tmp_path)
    shutil.copy(ROOT / "examples" / "backbone.graphml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PYTHON, ids=name_of)
def test_python_runs_dry(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise dry_run.StopScript

    def plan(ec: dry_run.DryRunController, guids: list[int], together: bool) -> None:
        ec.plan_deployment(guids, together=together)

    # From here on, a run or a campaign would be needed.
    monkeypatch.setattr(Campaign, "submit", stop)
    monkeypatch.setattr(Campaign, "attach", stop)
    monkeypatch.setattr(dry_run.DryRunController, "attach", stop)
    monkeypatch.setattr(webbrowser, "open", print)
    names: dict[str, Any] = {}
    with dry_run._replaced_classes(plan):
        exec(PRELUDE, names)
        for block in of("python"):
            if block.page == page:
                run(block, names)


def run(block: Block, names: dict[str, Any]) -> None:
    text = block.text
    for short, whole in SHORT.items():
        text = text.replace(short, whole)
    for (page, beginning), code in BEFORE.items():
        if name_of(block.page) == page and text.startswith(beginning):
            exec(code, names)
    with contextlib.suppress(dry_run.StopScript):
        # The lines of the page, in a traceback.
        exec(compile("\n" * block.line + text, name_of(block.page), "exec"), names)


def test_every_addition_belongs_to_a_block() -> None:
    texts = [(name_of(block.page), block.text) for block in of("python")]
    for page, beginning in BEFORE:
        assert any(page == name and text.startswith(beginning) for name, text in texts), beginning
    assert [short for short in SHORT if not any(short in text for _, text in texts)] == []


# -- descriptions and data -------------------------------------------------------------------------

#: Keys that make a part of a description a whole one, by the page of the part.
WHOLE = {
    "docs/descriptions.md": {
        "resources": {
            "ping": {"type": "linux::Ping", "node": "paris", "target": "rome"},
            "here": {"type": "linux::Node"},
        },
        "topology": {"on": "here", "links": [["paris", "rome"]]},
    },
    "docs/emulation.md": {
        "resources": {"here": {"type": "linux::Node"}},
        "topology": {"on": "here"},
    },
}


@pytest.mark.parametrize("block", of("yaml"), ids=lambda block: block.name)
def test_yaml_is_a_valid_description(
    block: Block, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    is_whole = re.search("^nepiq: 1", block.text, re.MULTILINE)
    (folder / "page.yaml").write_text(block.text if is_whole else whole(block))
    assert main(["validate", "page.yaml"]) == 0, capsys.readouterr().err


def whole(block: Block) -> str:
    part = yaml.safe_load(block.text)
    made: dict[str, Any] = {"nepiq": 1, **WHOLE.get(name_of(block.page), {})}
    if "resources" in part:
        return json.dumps(made | part)
    key = "topology" if "links" in part else "resources"
    return json.dumps(made | {key: made[key] | part})


@pytest.mark.parametrize("block", of("json", "toml", "ini"), ids=lambda block: block.name)
def test_data_can_be_read(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        pytest.importorskip("tomllib", reason="from Python 3.11 on").loads(block.text)
    else:
        parser = ConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(block.text)
        assert parser.sections()


# -- pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("example", "picture"),
    [
        ("demo.py", "plot.svg"),
        ("hello.yaml", "graph-hello.svg"),
        ("iperf_sweep.py", "graph-iperf-sweep.svg"),
        ("nepi/k_mobile_network.py", "graph-mobile-network.svg"),
        ("nepi/l_emulated_network.py", "graph-emulated-network.svg"),
    ],
)
def test_the_graphs_of_examples_are_those_that_are_drawn(
    example: str, picture: str, tmp_path: Path
) -> None:
    kept = ROOT / "docs" / "pictures" / picture
    assert main(["plot", str(ROOT / "examples" / example), "-o", str(tmp_path / picture)]) == 0
    again = f"nepiq plot examples/{example} -o docs/pictures/{picture}"
    assert (tmp_path / picture).read_text() == kept.read_text(), again


# -- commands --------------------------------------------------------------------------------------

APP = typer.main.get_command(make_app())
#: Options of ``nepiq`` itself.
ANYWHERE = {"--help", "-v", "-vv"}
MAKEFILE = (ROOT / "Makefile").read_text()
SPANS = sorted(
    {(page, span) for page in PAGES for span in re.findall(r"`(nepiq [^`]+)`", page.read_text())}
)
LINES = [
    (block, line[2:])
    for block in of("console")
    for line in block.text.replace("\\\n", " ").splitlines()
    if line.startswith(("$ ", "# "))
]


def words(command: str) -> list[str]:
    """Return the words of a line up to a pipe, a redirection or another command."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(itertools.takewhile(lambda word: not set(word) <= set("|&;<>()"), lexer))


@pytest.mark.parametrize("page", sorted({page for page, _ in SPANS}), ids=name_of)
def test_commands_in_text_have_the_verbs_and_options_that_are_shown(page: Path) -> None:
    for span in (span for where, span in SPANS if where == page):
        verb, rest = APP, re.findall(r"[\w-]+", re.split(r" \[?-- | \| ", span)[0])[1:]
        while rest and isinstance(verb, TyperGroup) and rest[0] in verb.commands:
            verb = verb.commands[rest.pop(0)]
        if isinstance(verb, TyperGroup):
            assert [word for word in rest[:1] if word[0].islower()] == [], span
        options = {name for item in verb.params for name in (*item.opts, *item.secondary_opts)}
        shown = {word for word in rest if word.startswith("-")}
        assert shown - options - ANYWHERE == set(), span


@pytest.mark.parametrize(("block", "line"), LINES, ids=lambda item: getattr(item, "name", ""))
def test_command_lines_parse(block: Block, line: str) -> None:
    for command in re.split(r" && ", line):
        program, *arguments = words(command) or [""]
        if block.page.parent.name == "examples":
            named = [word for word in arguments if word.endswith((".py", ".yaml"))]
            assert [name for name in named if not (block.page.parent / name).is_file()] == []
        if program.endswith("nepiq"):
            parse(arguments)
        elif program == "make":
            assert re.search(rf"^{arguments[0]}:", MAKEFILE, re.MULTILINE), command


def parse(arguments: list[str]) -> None:
    """Parse arguments of nepiq as it does; raise its error if they are wrong."""
    command, name = APP, "nepiq"
    while True:
        context = command.make_context(name, arguments)
        if not isinstance(command, TyperGroup):
            return
        given = context._protected_args + context.args
        name, command, arguments = command.resolve_command(context, given)
