"""A script as it was written for NEPI; only the import differs.

NEPI's line was ``from nepi.execution.ec import ExperimentController`` and one for
``ResourceAction, ResourceState`` of ``nepi.execution.resource``.
"""

from __future__ import annotations

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

ec = ExperimentController(exp_id="nepi-port")

node = ec.register_resource("LinuxNode")
ec.set(node, "hostname", "localhost")
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
