"""Simulation programs of the user on this machine, with the ns-3 of the workers' Python."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.conftest import Make
from tests.conftest import Need
from tests.stand import Stand, until

from nepiq.controller import ExperimentController, ResourceState
from nepiq.controller.errors import TraceNotFound

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid", "g++"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("ns3_program"),
]

# Modes make it end in different ways; with "gate" it runs until a file named open exists.
PROGRAM = """
#include "ns3/core-module.h"
#include "ns3/point-to-point-module.h"
#include "ns3/internet-module.h"
#include "ns3/applications-module.h"

#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>

#include "limits.h"

using namespace ns3;

int main(int argc, char** argv)
{
    uint32_t packets = 1;
    bool verbose = false;
    std::string mode = "run";
    CommandLine cmd(__FILE__);
    cmd.AddValue("packets", "number of packets", packets);
    cmd.AddValue("verbose", "print more", verbose);
    cmd.AddValue("mode", "how it ends", mode);
    cmd.Parse(argc, argv);

    NodeContainer nodes(2);
    PointToPointHelper link;
    link.SetChannelAttribute("Delay", StringValue("2ms"));
    NetDeviceContainer devices = link.Install(nodes);
    InternetStackHelper().Install(nodes);
    Ipv4AddressHelper addresses("10.1.1.0", "255.255.255.0");
    Ipv4InterfaceContainer interfaces = addresses.Assign(devices);
    ApplicationContainer server = UdpEchoServerHelper(9).Install(nodes.Get(1));
    UdpEchoClientHelper echo(interfaces.GetAddress(1), 9);
    echo.SetAttribute("MaxPackets", UintegerValue(packets));
    ApplicationContainer client = echo.Install(nodes.Get(0));
    uint32_t received = 0;
    client.Get(0)->TraceConnectWithoutContext(
        "Rx", Callback<void, Ptr<const Packet>>([&received](Ptr<const Packet>) { ++received; }));

    if (mode == "fatal")
        Simulator::Schedule(Seconds(1), [] { NS_FATAL_ERROR("no route to node " << 7); });
    if (mode == "assert")
        Simulator::Schedule(Seconds(1), [packets] { NS_ASSERT_MSG(packets > 1, "too few"); });
    if (mode == "fail")
        return 3;
    if (mode == "gate")
    {
        std::ofstream("begun") << "yes\\n";
        while (!std::filesystem::exists("../../open"))
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (mode == "endless")
        for (;;)
            std::this_thread::sleep_for(std::chrono::milliseconds(50));

    link.EnablePcapAll("echo");
    Simulator::Stop(Seconds(LAST));
    Simulator::Run();
    Ptr<UniformRandomVariable> random = CreateObject<UniformRandomVariable>();
    std::cout << "received " << received << " verbose " << verbose << " random "
              << random->GetValue() << std::endl;
    Simulator::Destroy();
}
"""
HEADER = "constexpr double LAST = 60;\n"
SOURCES = {"echo.cc": PROGRAM, "limits.h": HEADER}


@pytest.fixture(autouse=True)
def ns3(need: Need) -> None:
    need("ns3", importlib.util.find_spec("ns3"), "the Python package is not installed")


def program(ec: ExperimentController, node: int, **options: Any) -> int:
    options = {"source": SOURCES, "critical": False, **options}
    return ec.register_resource("linux::ns3::Program", connectedTo=node, **options)


def reason(ec: ExperimentController, guid: int) -> str:
    return next(str(failure) for failure in ec.failures if failure.guid == guid)


def test_ends_of_one_program(ec: ExperimentController, tmp_path: Path) -> None:
    """One compilation serves all; each end is reported as what it was."""
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    paths = [str(tmp_path / name) for name in SOURCES]
    node = ec.register_resource("linux::Node")
    many = program(ec, node, source=paths, arguments={"packets": 3, "verbose": True}, seed=5)
    same = program(ec, node, arguments={"packets": 3, "verbose": True}, seed=5, run=1)
    other = program(ec, node, seed=5, run=2)
    fatal = program(ec, node, arguments={"mode": "fatal"})
    asserted = program(ec, node, arguments={"mode": "assert"})
    fail = program(ec, node, arguments={"mode": "fail"})
    fine = program(ec, node, arguments={"mode": "fail"}, okExitCodes="3")
    unknown = program(ec, node, arguments={"nosuch": "a 'b' $C"})
    late = program(ec, node, arguments={"mode": "endless"}, stopAfter="500ms")
    ec.deploy()
    everything = [many, same, other, fatal, asserted, fail, fine, unknown, late]
    assert ec.wait_finished(everything, timeout=240)

    text = ec.trace(many, "stdout")
    assert text.startswith("received 3 verbose 1 random 0.")
    assert ec.trace(same, "stdout") == text
    assert ec.trace(other, "stdout").startswith("received 1 verbose 0 random 0.")
    assert ec.trace(other, "stdout").split()[-1] != text.split()[-1]
    assert ec.trace(many, "echo-0-0.pcap", text=False)[:4] == bytes.fromhex("d4c3b2a1")
    assert ec.get(many, "version") == "3.44"
    assert ec.get(many, "command").endswith("/ns3-echo --packets=3 --verbose=true")

    assert ec.state(fatal) is ec.state(asserted) is ec.state(fail) is ResourceState.FAILED
    assert ec.get(fatal, "exitCode") == 134
    assert 'exited with 134: ns-3 aborted: msg="no route to node 7", +1.0' in reason(ec, fatal)
    assert "echo.cc, line=" in reason(ec, fatal)
    assert 'ns-3 aborted: NS_ASSERT failed, cond="packets > 1", msg="too few"' in reason(
        ec, asserted
    )
    assert (ec.get(fail, "exitCode"), ec.state(fine)) == (3, ResourceState.FINISHED)
    assert "Invalid command-line argument: --nosuch=a 'b' $C" in ec.trace(unknown, "stdout") + (
        ec.trace(unknown, "stderr")
    )
    assert "ended because it ran for 0.5 s (stopAfter)" in reason(ec, late)


def test_what_was_compiled_stays(make: Make, stand: Stand) -> None:
    builds = stand.home / ".nepiq" / ".usr" / "ns3"
    for time in ("first", "second"):
        ec = make("cache")
        node = ec.register_resource("linux::Node")
        guid = program(ec, node)
        ec.deploy()
        assert ec.wait_finished(guid, timeout=120)
        folders = sorted(path for path in builds.glob("*/ready"))
        if time == "first":
            before = [(path, path.stat().st_mtime_ns) for path in folders]
    assert [(path, path.stat().st_mtime_ns) for path in folders] == before
    assert not _has(ec, guid, "build")


def test_a_compile_error(ec: ExperimentController) -> None:
    node = ec.register_resource("linux::Node")
    guid = program(ec, node, source={"bad.cc": "int main()\n{\n    return nothing;\n}\n"})
    ec.deploy()
    assert ec.wait_finished(guid, timeout=120)
    assert ec.state(guid) is ResourceState.FAILED
    assert "bad.cc:3:12: error: " in reason(ec, guid)
    assert "nothing" in ec.trace(guid, "build")


def test_no_more_run_than_are_allowed(ec: ExperimentController, stand: Stand) -> None:
    node = ec.register_resource("linux::Node")
    guids = [program(ec, node, arguments={"mode": "gate"}, perHost=2) for _ in range(6)]
    ec.deploy()
    assert ec.wait_started(guids, timeout=120)
    home = next(stand.home.glob(f".nepiq/{ec.run_id}/{node}"))

    def begun() -> int:
        return len([guid for guid in guids if (home / str(guid) / "1" / "begun").exists()])

    until(lambda: begun() == 2, 30, "none began")
    stopped = next(g for g in guids if (home / str(g) / "1" / "begun").exists())
    ec.stop(stopped)
    assert ec.state(stopped) is ResourceState.STOPPED
    until(lambda: begun() == 3, 30, "the slot of a stopped program was not taken")
    waiting = next(g for g in guids if not (home / str(g) / "1" / "begun").exists())
    ec.stop(waiting)
    assert begun() == 3
    (home / "open").touch()
    assert ec.wait_finished(guids, timeout=60)
    finished = [guid for guid in guids if ec.state(guid) is ResourceState.FINISHED]
    assert len(finished) == 4
    assert not (home / str(waiting) / "1" / "begun").exists()


def test_a_program_in_python(ec: ExperimentController, tmp_path: Path) -> None:
    """The bindings are replaced by empty modules: loading the real ones takes ten seconds."""
    for name in ("ns", "cppyy"):
        (tmp_path / f"{name}.py").write_text("", encoding="utf-8")
    node = ec.register_resource("linux::Node")
    source = {"sim.py": "import os, sys, ns, part; print(sys.argv[1:], part.X)", "part.py": "X = 1"}
    env = {"PYTHONPATH": str(tmp_path)}
    options = {"source": source, "python": sys.executable, "arguments": {"n": 3}}
    runs = program(ec, node, env=env, **options)
    lacking = program(ec, node, **{**options, "python": "/usr/bin/nosuch"}, env="PYTHONPATH=/none")
    ec.deploy()
    assert ec.wait_finished([runs, lacking], timeout=60)
    assert ec.trace(runs, "stdout") == "['--n=3'] 1\n"
    if importlib.util.find_spec("cppyy") is None:
        assert "lacks cppyy" in reason(ec, lacking)


SCRIPT = """#!/bin/sh
[ "$1 $2" = "build lab" ] || { echo "Target to build does not exist: $2"; exit 1; }
mkdir -p build/scratch
printf '#!/bin/sh\\necho lab "$@" "$LD_LIBRARY_PATH"\\n' >build/scratch/ns3-dev-lab-debug
chmod +x build/scratch/ns3-dev-lab-debug
cat >.lock-ns3_linux_build <<END
BUILD_PROFILE = 'debug'
VERSION = '3-dev'
ns3_runnable_programs = ['$PWD/build/scratch/ns3-dev-lab-debug', ]
END
"""


def test_a_program_of_a_tree(ec: ExperimentController, tmp_path: Path) -> None:
    """The tree is a script that builds and lists programs as that of ns-3 does."""
    (tmp_path / "ns3").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "ns3").chmod(0o755)
    (tmp_path / ".lock-ns3_linux_build").write_text("BUILD_PROFILE = 'debug'\n", encoding="utf-8")
    node = ec.register_resource("linux::Node")
    options = {"source": None, "ns3Home": str(tmp_path)}
    lab = program(ec, node, program="lab", arguments={"text": "a  b"}, **options)
    none = program(ec, node, program="none", **options)
    ec.deploy()
    assert ec.wait_finished([lab, none], timeout=60)
    assert ec.trace(lab, "stdout") == f"lab --text=a  b {tmp_path}/build/lib\n", ec.failures
    assert ec.get(lab, "version") == "dev"
    assert "cannot build none" in reason(ec, none)
    assert "Target to build does not exist: none" in reason(ec, none)


def _has(ec: ExperimentController, guid: int, trace: str) -> bool:
    try:
        ec.trace(guid, trace)
    except TraceNotFound:
        return False
    return True
