"""Each option of each tool, on the command line of the real program."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.tool_cases import CASES, HERE, OTHERS, SERVERS, Case
from tests.conftest import Need
from tests.stand import Stand

from nepiq.controller import ExperimentController, TraceNotFound
from nepiq.controller.model import Attribute, Flag, registry
from nepiq.controller.resources import CATALOGUE
from nepiq.controller.resources.linux.tools import Option, Tool
from nepiq.controller.resources.linux.tools.servers import Client

PROGRAMS = ("ping", "traceroute", "mtr", "nping", "tcpdump", "iperf3", "nc", "ab", "python3", "ip")

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid", *PROGRAMS),
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("tool options"),
]

# Prints the arguments of a program to a file of its run directory, and becomes the program.
WRAPPER = '#!/bin/sh\nprintf "%s\\n" "$@" >argv\nexec {0} "$@"\n'


@dataclass(frozen=True)
class Ran:
    """A tool that has run.

    Attributes:
        state: its state.
        expected: the arguments of each of its options.
        arguments: the arguments that the program was given.
        stderr: what it wrote to stderr.
    """

    state: str
    expected: dict[str, list[str]]
    arguments: list[str]
    stderr: str

    def has(self, words: list[str]) -> bool:
        """Return whether the program was given these arguments in a row."""
        starts = range(len(self.arguments) - len(words) + 1)
        return any(self.arguments[at : at + len(words)] == words for at in starts)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that tools read: a capture of two packets, a filter, a list of captures."""
    folder = tmp_path_factory.mktemp("samples")
    (folder / "filter").write_text("icmp")
    (folder / "names").write_text(f"{folder}/sample.pcap\n")
    (folder / "sample.pcap").write_bytes(_capture())
    return folder


def _capture() -> bytes:
    """An empty capture in pcap's format: magic number, version 2.4, Ethernet."""
    head = (0xA1B2C3D4, 0x00040002, 0, 0, 262144, 1)
    return b"".join(word.to_bytes(4, "little") for word in head)


@pytest.fixture(scope="module")
def ran(
    need: Need, stand: Stand, samples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[int, tuple[Ran, Ran | None]]]:
    """Every case, run at the same time on this machine, and the server of each client."""
    need("the rights of root", os.geteuid() == 0)
    wrappers = tmp_path_factory.mktemp("wrappers")
    for program in PROGRAMS:
        path = wrappers / program
        path.write_text(WRAPPER.format(shutil.which(program)))
        path.chmod(0o755)
    with stand.experiment("options", quiet=True) as ec:
        node = ec.register_resource("linux::Node", env=f"PATH={wrappers}:{os.environ['PATH']}")
        traffic = ec.register_resource("linux::Ping", target=HERE, interval=0.2, connectedTo=node)
        made = [_make(ec, case, node, samples) for case in CASES]
        ec.deploy()
        assert ec.wait_finished([tool for tool, _ in made], timeout=120), ec.failures
        ec.stop(traffic)
        yield {
            id(case): (_ran(ec, tool), None if server is None else _ran(ec, server))
            for case, (tool, server) in zip(CASES, made, strict=True)
        }


def _make(ec: ExperimentController, case: Case, node: int, samples: Path) -> tuple[int, int | None]:
    settings = _filled(case.settings, samples)
    tool = ec.register_resource(case.rtype, critical=False, connectedTo=node, **settings)
    if case.server is None:
        return tool, None
    rtype = f"linux::{SERVERS[case.kind]}"
    server = ec.register_resource(
        rtype, critical=False, connectedTo=node, **_filled(case.server, samples)
    )
    ec.register_connection(tool, server)
    return tool, server


def _filled(settings: dict[str, Any], samples: Path) -> dict[str, Any]:
    return {
        name: value.format(samples=samples, device=_device()) if isinstance(value, str) else value
        for name, value in settings.items()
    }


def _device() -> str:
    """An interface that has a hardware address."""
    names = (path.name for path in Path("/sys/class/net").iterdir() if (path / "device").exists())
    return min(names, default="lo")


def _ran(ec: ExperimentController, tool: int) -> Ran:
    rm = ec._description.instance(tool)
    expected = {
        name: option.words(getattr(rm, name))
        for name, option in rm.attributes.items()
        if isinstance(option, Option)
    }
    try:
        arguments = ec.trace(tool, "argv").splitlines()
    except TraceNotFound as error:
        told = "; ".join(str(failure) for failure in ec.failures if failure.guid == tool)
        raise AssertionError(f"{rm.label} was not run: {told}") from error
    return Ran(ec.state(tool).name, expected, arguments, ec.trace(tool, "stderr"))


@pytest.mark.parametrize("case", CASES, ids=[f"{c.kind}-{n}" for n, c in enumerate(CASES)])
def test_the_program_takes_the_options(case: Case, ran: dict[int, tuple[Ran, Ran | None]]) -> None:
    tool, server = ran[id(case)]
    assert (tool.state, case.complaint in tool.stderr) == (case.state, True), tool.stderr
    for which, given in ((tool, case.settings), (server, case.server)):
        if which is not None:
            missing = {
                name: words
                for name, words in which.expected.items()
                if name in (given or {}) and not which.has(words)
            }
            assert missing == {}


def test_every_attribute_has_a_case() -> None:
    tested: dict[str, set[str]] = {kind: set(names) for kind, names in OTHERS.items()}
    for case in CASES:
        tested.setdefault(case.kind, set()).update(case.settings)
        if case.server is not None:
            tested.setdefault(SERVERS[case.kind], set()).update(case.server)
    untested = {}
    for rtype in CATALOGUE:
        cls = registry.find(rtype)
        if issubclass(cls, Tool):
            shared = vars(Client) if Client in cls.__bases__ else {}
            own = {
                name
                for name, item in [*vars(cls).items(), *shared.items()]
                if isinstance(item, Attribute) and Flag.NO_WRITE not in item.flags
            }
            own -= {*Tool.attributes}
            missing = own - tested.get(rtype.removeprefix("linux::"), set())
            if missing:
                untested[rtype] = sorted(missing)
    assert untested == {}
