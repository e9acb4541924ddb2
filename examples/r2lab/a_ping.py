"""A: a node that is reached through the gateway pings the gateway.

As the first lesson of R2lab did it with NEPI: one node, one application, deployed one after the
other. Nothing but the imports and the names of hosts differs from a script for NEPI.
"""

from __future__ import annotations

import lab

from nepiq.controller import ExperimentController

parser = lab.parser(__doc__, ["fit01"])
parser.add_argument("--target", help="what is pinged; the gateway if not given")
options = parser.parse_args()

ec = ExperimentController(exp_id="A-ping")

node = ec.register_resource("linux::Node", **lab.behind(options, options.nodes[0]))
ec.deploy(node)

app = ec.register_resource("linux::Application")
ec.set(app, "command", f"ping -c1 {options.target or options.gateway}")
ec.register_connection(app, node)
ec.deploy(app)

ec.wait_finished(app)
print(ec.trace(app, "stdout"))

ec.shutdown()
