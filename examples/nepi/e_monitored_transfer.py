"""E: a file goes from one host to another, while its rate is measured and its packets recorded.

As NEPI's example file_transfer did it: the capture starts, then the client listens, then the
server sends by nc(1), through pv(1), which writes how far it is. In the end the figures of pv and
the capture are fetched.

Three things differ from the script for NEPI besides imports and hosts. The server makes a file
instead of a video that is brought there. The capture is STARTED when tcpdump listens, and the
client when nc does, instead of some seconds later. tcpdump stays root, since it would otherwise
become a user who may not write to the run directory.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

START, STOP = ResourceAction.START, ResourceAction.STOP
STARTED, STOPPED = ResourceState.STARTED, ResourceState.STOPPED
PORT = 1234

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("server", help="host that sends")
parser.add_argument("client", help="host that receives")
parser.add_argument("--user", help="user on both")
parser.add_argument("--identity", help="private key, on the worker machine")
parser.add_argument("--megabytes", type=int, default=100, help="size of the file (%(default)s)")
parser.add_argument("--results", default="results", help="folder (%(default)s)")
options = parser.parse_args()

ec = ExperimentController(exp_id="E-file-transfer")


def add_node(host: str) -> int:
    """Register a host."""
    node = ec.register_resource("linux::Node")
    ec.set(node, "hostname", host)
    ec.set(node, "username", options.user)
    ec.set(node, "identity", options.identity)
    ec.set(node, "cleanExperiment", True)
    ec.set(node, "cleanProcesses", True)
    return node


def add_app(command: str, node: int, **more: object) -> int:
    """Register an application on a host."""
    app = ec.register_resource("linux::Application", command=command, **more)
    ec.register_connection(app, node)
    return app


server_node, client_node = add_node(options.server), add_node(options.client)

video = add_app(f"head -c {options.megabytes}M /dev/urandom > ${{SHARE}}/video.ts", server_node)
capture = add_app(
    f"tcpdump -Z root -U -B 16384 -i any -s 0 -w file_transfer.pcap tcp port {PORT}",
    client_node,
    depends="tcpdump",
    sudo=True,
    startedWhen="output:listening on",
    okExitCodes="any",
)
client = add_app(
    f"nc -dl {PORT} > transferred.ts; ls -l transferred.ts",
    client_node,
    depends="netcat",
    startedWhen=f"port:{PORT}",
)
server = add_app(
    f"cat ${{SHARE}}/video.ts | pv -fbt 2> bw.txt | nc -N {options.client} {PORT}",
    server_node,
    depends="pv netcat",
)

ec.register_condition(client, START, capture, STARTED)
ec.register_condition(server, START, [client, video], STARTED)
ec.register_condition(server, START, video, STOPPED)
ec.register_condition(capture, STOP, client, STOPPED, "3s")  # tcpdump reads each second

ec.deploy()
ec.wait_finished([server, client, capture])

folder = Path(options.results)
folder.mkdir(parents=True, exist_ok=True)
(folder / "bw.txt").write_text(ec.trace(server, "bw.txt"))
(folder / "file_transfer.pcap").write_bytes(ec.trace(capture, "file_transfer.pcap", text=False))
print(ec.trace(client, "stdout").strip())
print(ec.trace(capture, "stderr").strip())

ec.shutdown()
