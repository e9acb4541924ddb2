"""A script as it was written for NEPI; only the imports differ.

NEPI's line was ``from nepi.execution.ec import ExperimentController`` and one for
``ResourceAction, ResourceState`` of ``nepi.execution.resource``.

``python nepi_port.py [HOST [USER [IDENTITY]]]`` runs it on another machine than this one.
"""

from __future__ import annotations

import sys

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

host, user, identity = [*sys.argv[1:], "", "", ""][:3]

ec = ExperimentController(exp_id="nepi-port")

node = ec.register_resource("LinuxNode")
ec.set(node, "hostname", host or "localhost")
ec.set(node, "username", user)
ec.set(node, "identity", identity)
ec.set(node, "cleanProcesses", True)

server = ec.register_resource("LinuxApplication")
ec.set(server, "command", "echo 'HOLA' > answer; sleep 4; cat answer")
ec.register_connection(server, node)

client = ec.register_resource("LinuxApplication")
ec.set(client, "command", "echo 'CLIENT STARTED'; sleep 1")
ec.register_connection(client, node)

ec.register_condition(client, ResourceAction.START, server, ResourceState.STARTED, "2s")

ec.deploy()
ec.wait_finished([server, client])

print("server:", ec.trace(server, "stdout").strip())
print("client:", ec.trace(client, "stdout").strip())

ec.shutdown()
