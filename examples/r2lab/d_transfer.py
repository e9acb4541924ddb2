"""D: a file goes to one node, and from there over the data network to another.

This machine copies it to the gateway, the gateway to the sender, with scp(1); the receiver
listens; five seconds after it has STARTED the sender sends; when the receiver has STOPPED, it
lists what came. Each pair of sender and receiver is an experiment of its own, and what it
printed is kept in a file of its own.

The nodes use their wired cards. "This machine" is the worker machine, and the gateway needs a
key that opens the nodes, as at R2lab. Nothing but the imports and the names of hosts differs from
a script for NEPI.
"""

from __future__ import annotations

from pathlib import Path

import lab

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

START, STARTED, STOPPED = ResourceAction.START, ResourceState.STARTED, ResourceState.STOPPED
PORT = 2389

parser = lab.parser(__doc__, ["fit01", "fit02"])
parser.add_argument("--file", default="/etc/services", help="what is sent (%(default)s)")
parser.add_argument("--scp", default="scp -o BatchMode=yes", help="how this machine calls scp")
parser.add_argument("--results", default="results", help="folder (%(default)s)")
options = parser.parse_args()


def transfer(sender: str, receiver: str) -> str:
    """One experiment; what the receiver lists in the end."""
    ec = ExperimentController(exp_id=f"D-transfer-{sender}-{receiver}")
    here = ec.register_resource("linux::Node", hostname="localhost", cleanProcesses=True)
    gateway = ec.register_resource("linux::Node", **lab.gateway(options))
    source = ec.register_resource("linux::Node", **lab.behind(options, sender))
    sink = ec.register_resource("linux::Node", **lab.behind(options, receiver))

    def app(node: int, command: str, **more: str) -> int:
        made = ec.register_resource("linux::Application", command=command, **more)
        ec.register_connection(made, node)
        return made

    to_gateway = app(here, f"{options.scp} {options.file} {options.slice}@{options.gateway}:r2lab")
    to_sender = app(gateway, f"cd && scp -o BatchMode=yes r2lab {options.user}@{sender}:r2lab")
    listen = app(sink, f"cd && nc -dl {PORT} > r2lab-received", depends="netcat")
    send = app(source, f"cd && nc -q 0 {receiver} {PORT} < r2lab", depends="netcat")
    look = app(sink, "cd && ls -l r2lab-received")

    ec.register_condition(to_sender, START, to_gateway, STOPPED)
    ec.register_condition(listen, START, to_sender, STOPPED)
    ec.register_condition(send, START, listen, STARTED, "5s")
    ec.register_condition(look, START, listen, STOPPED)

    ec.deploy()
    ec.wait_finished([to_gateway, to_sender, listen, send, look])
    listed = str(ec.trace(look, "stdout"))
    ec.shutdown()
    return listed


folder = Path(options.results)
folder.mkdir(parents=True, exist_ok=True)
for sender in options.nodes:
    for receiver in options.nodes:
        if sender != receiver:
            listed = transfer(sender, receiver)
            (folder / f"{sender}-{receiver}.txt").write_text(listed)
            print(f"{sender} -> {receiver}: {listed.strip()}")
