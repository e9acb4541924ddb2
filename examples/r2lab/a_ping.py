"""A: a node behind the gateway pings the gateway.

As the first lesson of R2lab did it with NEPI: one node, one application, deployed one after the
other. Nothing but the imports and the names of hosts differs from a script for NEPI.
"""

from __future__ import annotations

import lab

from nepiq.controller import ExperimentController

options = lab.parser(__doc__, ["fit01"]).parse_args()

ec = ExperimentController(exp_id="A-ping")

node = ec.register_resource("linux::Node", **lab.behind(options, options.nodes[0]))
ec.deploy(node)

app = ec.register_resource("linux::Application")
ec.set(app, "command", f"ping -c1 {options.gateway}")
ec.register_connection(app, node)
ec.deploy(app)

ec.wait_finished(app)
print(ec.trace(app, "stdout"))

ec.shutdown()
