"""How long does a datagram need to a server and back? Runs until the mean is known well enough.

Each run is an experiment of its own: deployed, measured, released. Without a folder nothing is
kept; with one, a campaign that was killed goes on where it stopped::

    python campaign.py
    python campaign.py results
"""

from __future__ import annotations

import shlex
import sys

from nepiq.controller import ExperimentController, ExperimentRunner, ResourceAction, ResourceState

START, STOP = ResourceAction.START, ResourceAction.STOP
STARTED, FINISHED = ResourceState.STARTED, ResourceState.FINISHED

PYTHON = shlex.quote(sys.executable)
# A free port is found in each run: in the description it would make each start of this script
# another experiment, whose runs are not mixed with those in the folder.
SERVER = """
import pathlib, socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
pathlib.Path(sys.argv[1]).write_text(str(server.getsockname()[1]))
print("serving", flush=True)
while True:
    server.sendto(*server.recvfrom(64))
"""
CLIENT = """
import pathlib, socket, statistics, sys, time
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect(("127.0.0.1", int(pathlib.Path(sys.argv[1]).read_text())))
client.settimeout(5)
times = []
for n in range(1000):
    began = time.perf_counter()
    client.send(b"ping")
    client.recv(64)
    times.append(time.perf_counter() - began)
print(1e6 * statistics.median(times))
"""


def describe() -> ExperimentController:
    ec = ExperimentController("round-trip")
    node = ec.register_resource("linux::Node", label="here")
    for label, program in (("server", SERVER), ("client", CLIENT)):
        ec.register_resource(
            "linux::Application",
            label=label,
            connectedTo=node,
            command=f'{PYTHON} - "${{NODE_HOME}}/port"',
            stdin=program,
        )
    ec.set("server", "startedWhen", "output:serving")
    ec.register_condition("client", START, "server", STARTED)
    ec.register_condition("server", STOP, "client", FINISHED)
    return ec


def round_trip(ec: ExperimentController, run: int) -> float:
    microseconds = float(ec.trace("client", "stdout"))
    print(f"run {run}: {microseconds:.1f} us")
    return microseconds


def main() -> None:
    runner = ExperimentRunner()
    count = runner.run(
        describe(),
        min_runs=3,
        max_runs=12,
        wait_guids="client",
        compute_metric_callback=round_trip,
        folder=sys.argv[1] if len(sys.argv) > 1 else None,
    )
    assert runner.mean is not None
    assert runner.interval is not None
    low, high = runner.interval
    print(f"{count} runs: {runner.mean:.1f} us, and with 95 % certainty {low:.1f} to {high:.1f}")


if __name__ == "__main__":
    main()
