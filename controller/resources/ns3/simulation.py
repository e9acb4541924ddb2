"""linux::ns3::Simulation: a simulation whose objects are resources."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from ...errors import HostError, InvalidValue
from ...errors.text import last_lines
from ...model import (
    AbsolutePath,
    Action,
    Attribute,
    Connection,
    Context,
    Duration,
    Flag,
    Launch,
    ResourceManager,
    Trace,
)
from ..linux.node import Node
from . import description, installation, simulator
from .kinds import Time

_SOCKET = "simulation.sock"
_DESCRIPTION = "description.jsonl"
_LEVELS = ("error", "warn", "info", "debug", "function", "logic", "all")


class Defaults(dict[str, Any]):
    """Default values of ns-3's attributes: ``{"ns3::TcpSocket::SegmentSize": 1448}``."""

    @classmethod
    def parse(cls, value: Any) -> Defaults:
        """Return full names of attributes with their values."""
        if value == "":
            return cls()
        if not isinstance(value, Mapping) or not all(
            isinstance(name, str)
            and re.fullmatch(r"ns3(::\w+){2,}", name)
            and isinstance(item, (str, int, float))
            for name, item in value.items()
        ):
            raise InvalidValue('must be a mapping such as {"ns3::TcpSocket::SegmentSize": 1448}')
        return cls(value)


class LogLevels(dict[str, str]):
    """Log levels by component: ``"UdpEchoClientApplication=info:Ping"``, by default ``all``."""

    @classmethod
    def parse(cls, value: Any) -> LogLevels:
        """Return the levels in text in the form of ns-3's variable NS_LOG, one level each."""
        items = [item for item in value.split(":") if item] if isinstance(value, str) else None
        pairs = [item.partition("=") for item in items or []]
        levels = {name.strip(): level.strip() or "all" for name, _, level in pairs}
        if items is None or not all(level in _LEVELS for level in levels.values()):
            raise InvalidValue(f"must be COMPONENT=LEVEL:...; levels are {', '.join(_LEVELS)}")
        return cls(levels)


class Simulation(ResourceManager, rtype="linux::ns3::Simulation"):
    """A simulation of ns-3, run by a process of its own on a host.

    Its nodes, and all that is connected to them, are resources of the types ``ns3::*``. They are
    built at once when the simulation is deployed, to check them, and again when it starts. It is
    FINISHED at its ``StopTime`` or when ns-3 has no events left.
    """

    encloses = True

    ns3Home = Attribute(
        AbsolutePath,
        help="Folder of a built ns-3 on the host, 3.36 or newer; by default its package ns3.",
        flags=Flag.DESIGN,
    )
    python = Attribute(
        str, "python3", help="The host's Python that has the package ns3.", flags=Flag.DESIGN
    )
    simulatorImplementationType = Attribute(
        str,
        "ns3::DefaultSimulatorImpl",
        allowed=("ns3::DefaultSimulatorImpl", "ns3::RealtimeSimulatorImpl"),
        help="Whether simulated time passes as fast as possible or like real time.",
        flags=Flag.DESIGN,
    )
    schedulerType = Attribute(
        str,
        allowed=(
            "",
            "ns3::MapScheduler",
            "ns3::ListScheduler",
            "ns3::HeapScheduler",
            "ns3::CalendarScheduler",
            "ns3::PriorityQueueScheduler",
        ),
        help="The scheduler of events; by default that of ns-3.",
        flags=Flag.DESIGN,
    )
    checksumEnabled = Attribute(
        bool,
        False,
        help="Compute checksums of packets; needed for links to real networks.",
        flags=Flag.DESIGN,
    )
    StopTime = Attribute(Time, help="When it ends, in simulated time.", flags=Flag.DESIGN)
    populateRoutingTables = Attribute(
        bool, False, help="Compute global routes before it starts.", flags=Flag.DESIGN
    )
    seed = Attribute(int, help="RngSeed of ns-3.", range=(1, 2**32 - 1), flags=Flag.DESIGN)
    run = Attribute(int, help="RngRun of ns-3.", range=(0, 2**64 - 1), flags=Flag.DESIGN)
    defaults = Attribute(
        Defaults, "", help="Defaults of attributes, by full name.", flags=Flag.DESIGN
    )
    nsLog = Attribute(
        LogLevels, "", help="What ns-3 logs, as COMPONENT=LEVEL:...", flags=Flag.DESIGN
    )
    flowMonitor = Attribute(
        bool, False, help="Measure all flows; traces flows and flowsXml.", flags=Flag.DESIGN
    )
    stopAfter = Attribute(
        Duration,
        "0s",
        help="Real time after which it is ended as FAILED; 0: no limit.",
        flags=Flag.DESIGN,
    )
    sudo = Attribute(
        bool, False, help="Run it as root, as links to other namespaces need.", flags=Flag.DESIGN
    )
    version = Attribute(str, help="The version of ns-3 that is used.", flags=Flag.FACT)
    exitCode = Attribute(int, help="Its exit code, after its end.", flags=Flag.NO_WRITE)
    simulator = Attribute(
        str, help="Folder of the simulator on the host.", flags=Flag.NO_WRITE | Flag.RESERVED
    )

    stdout = Trace(help="What its objects print, such as the results of ns3::Ping.")
    stderr = Trace(help="Messages and logs of ns-3.")
    flows = Trace(help="The flows as a table, written at its end.", file="flows.csv")
    flowsXml = Trace(help="The flows as ns-3 writes them, at its end.", file="flows.xml")
    summary = Trace(help="Simulated and real time, and number of events.", file="summary.json")
    build = Trace(help="What the compiler said, if it had to run.", file="build.log")
    describes = Trace(help="The description that ns-3 is given.", file=_DESCRIPTION)

    node = Connection(Node, required=True, help="The machine that runs it.")
    nodes = Connection("ns3::Node", many=True, help="The simulated nodes.")

    def deadline_for(self, action: Action) -> float:
        """Return the time limit of a step; the simulator may have to be compiled first."""
        return max(super().deadline_for(action), 900.0 if action is Action.DEPLOY else 0.0)

    def do_deploy(self, context: Context) -> None:
        """Compile the simulator if this host lacks it, and check the description with it.

        Raises:
            HostError: the host has no ns-3 or compiler, or ns-3 refuses an object.
        """
        local = self.node.placement().local
        ns3 = installation.find(context, self.ns3Home or "", self.python, local=local)
        self.version = ns3.version
        self.simulator = installation.build(
            context,
            ns3,
            simulator.archive(),
            {"simulator": ["simulator.cc"], "client": ["client.cc"]},
            (ns3.standard, "-O0", "-pthread", f'-DNEPIQ_NS3_VERSION="{ns3.version}"'),
            every_module=["simulator"],
        )
        context.host.write(_DESCRIPTION, description.write(self))
        command = f"{self._program('simulator')} check {_DESCRIPTION}"
        result = context.host.run(command, cwd=context.run_dir, check=False, sudo=self.sudo)
        if result.code:
            raise HostError(f"ns-3 cannot build the simulation: {_problem(result.stderr)}")

    def do_start(self, context: Context) -> Launch:
        """Build the simulation and run it."""
        context.host.write(_DESCRIPTION, description.write(self))
        command = f"exec {self._program('simulator')} run {_DESCRIPTION} {_SOCKET}"
        if self.stopAfter:
            command += f" {self.stopAfter:g}"
        return context.host.supervise(
            command,
            started_when=f"file:{_SOCKET}",
            start_timeout=30.0,
            sudo=self.sudo,
        )

    def do_stop(self, context: Context) -> None:
        """End it; its traces are completed first."""
        context.host.end()

    def do_release(self, context: Context) -> None:
        """End it and, with ``hardRelease``, remove its files."""
        context.host.clear()
        if self.hardRelease:
            command = f"rm -rf -- {shlex.quote(context.run_dir)}"
            context.host.run(command, cwd="/", sudo=self.sudo)

    def _program(self, name: str) -> str:
        return shlex.quote(f"{self.simulator or '.nepiq/.usr/ns3/ID'}/{name}")

    @property
    def realtime(self) -> bool:
        """Whether simulated time passes like real time."""
        return self.simulatorImplementationType == "ns3::RealtimeSimulatorImpl"

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse what a link to a real network lacks."""
        joined = [device.joined() for node in self.nodes for device in node.devices]
        taps = [tap for tap in joined if tap is not None]
        if taps and not (self.realtime and self.checksumEnabled):
            raise InvalidValue(
                "a link to a real network needs real time and checksums",
                where=self.label,
                hint="set simulatorImplementationType to ns3::RealtimeSimulatorImpl, and "
                "checksumEnabled to True",
            )
        if any(tap.node.emulates for tap in taps) and not self.sudo:
            raise InvalidValue(
                "only root can enter the emulated host of a TAP interface",
                where=self.label,
                hint="set sudo to True",
            )

    def outline(self) -> list[str]:
        """Return the objects that are built, a line each."""
        return list(description.outline(self))

    def client(self, context: Context) -> str:
        """Return a command that passes requests of its standard input to the simulation."""
        home = context.run_dir.rsplit("/", 2)[0]
        folder = f"{home}/{self.guid}/{self.occasion}"
        return f"cd {shlex.quote(folder)} && exec {self._program('client')} {_SOCKET}"

    def request(self, context: Context, request: Mapping[str, Any]) -> str:
        """Pass a request to the running simulation and return the value of its answer.

        A simulation that does not run has nothing to do; the answer is empty.

        Raises:
            HostError: ns-3 refuses it.
        """
        if not self.simulator:
            return ""
        line = json.dumps(request).encode() + b"\n"
        result = context.host.run(self.client(context), stdin=line, check=False)
        if result.code == 3:
            return ""
        if result.code:
            raise HostError(f"the simulation refuses: {_problem(result.stderr)}")
        answer: dict[str, str] = json.loads(result.text or "{}")
        return answer.get("value", "")


def _problem(stderr: bytes) -> str:
    """Return what the simulator said last for people."""
    text = stderr.decode("utf-8", "replace")
    said = [
        line.removeprefix("nepiq: ") for line in text.splitlines() if line.startswith("nepiq: ")
    ]
    return said[-1] if said else last_lines(text)
