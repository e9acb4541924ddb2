"""Write the TypeId registry of the installed ns-3 to the package.

    python tools/ns3_types.py

A test fails while the file does not describe the version that constraints.txt pins.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from nepiq.controller import ExperimentController

TARGET = Path(__file__).parents[1] / "controller/resources/ns3/types.json"


def main() -> None:
    """Have the simulator compiled on this machine, and keep what it knows of ns-3."""
    with ExperimentController("ns3-types") as ec:
        node = ec.register_resource("linux::Node")
        simulation = ec.register_resource("linux::ns3::Simulation", connectedTo=node)
        ec.deploy()
        ec.wait_deployed(simulation)
        simulator = f"{ec.get(simulation, 'simulator')}/simulator"
        done = subprocess.run([simulator, "types"], check=True, capture_output=True)
    TARGET.write_bytes(done.stdout)
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
