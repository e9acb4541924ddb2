"""Simulation programs in Python, with the bindings of ns-3, which pip compiles for a minute."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from tests.conftest import Need

from nepiq.controller import ExperimentController, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid", "g++"),
    pytest.mark.timeout(600),
]

PROGRAM = """
import sys
from ns import ns

nodes = ns.NodeContainer()
nodes.Create(2)
link = ns.PointToPointHelper()
link.SetChannelAttribute("Delay", ns.StringValue(sys.argv[1].partition("=")[2]))
devices = link.Install(nodes)
print(devices.GetN(), ns.RngSeedManager.GetRun())
if len(sys.argv) > 2:
    devices.Get(0).SetAttribute("NoSuch", ns.StringValue("1"))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the bindings; the package ns3 is that of the tests."""
    package = importlib.util.find_spec("ns3")
    if package is None or package.submodule_search_locations is None:
        pytest.skip("missing: ns3")
    home = Path(next(iter(package.submodule_search_locations))).parent
    folder = tmp_path_factory.mktemp("bindings")
    venv.create(folder, with_pip=False)
    made = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", made, "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", "-q", "cppyy==3.5.0"], check=True, timeout=500)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in ("ns", "ns3", f"ns3-{_version()}.dist-info"):
        (site / name).symlink_to(home / name)
    return made


def _version() -> str:
    from importlib.metadata import version

    return version("ns3")


def test_programs_in_python(ec: ExperimentController, python: Path, need: Need) -> None:
    node = ec.register_resource("linux::Node")
    source = {"links.py": PROGRAM}
    fine, fatal = (
        ec.register_resource(
            "linux::ns3::Program",
            source=source,
            python=str(python),
            arguments=arguments,
            run=7,
            critical=False,
            connectedTo=node,
        )
        for arguments in ({"delay": "2ms"}, {"delay": "2ms", "fail": True})
    )
    ec.deploy()
    assert ec.wait_finished([fine, fatal], timeout=120)
    assert ec.state(fine) is ResourceState.FINISHED, ec.failures
    assert ec.trace(fine, "stdout") == "2 7\n"
    assert ec.get(fine, "version").startswith("3.")
    (failure,) = ec.failures
    assert "NoSuch" in str(failure)
    assert len(str(failure)) < 500  # without the backtrace
    assert sys.executable != str(python)
