"""G: what 37 nodes answer: one short application each, all on the gateway.

``alive`` pings each node; ``status``, ``on``, ``off`` and ``reset`` ask its power controller.

With NEPI a command that fails is just STOPPED. Here it would end the experiment: the call of
set_global brings NEPI's way back. It is the one line that was added.
"""

from __future__ import annotations

import lab

from nepiq.controller import ExperimentController

COMMANDS = {"alive": "ping -c1 -W1 {name}"}
COMMANDS |= {
    verb: "curl -sS -m 10 http://reboot{number:02d}/" + verb
    for verb in ("status", "on", "off", "reset")
}

parser = lab.parser(__doc__, [f"fit{number:02d}" for number in range(1, 38)])
parser.add_argument("--ask", default="alive", choices=COMMANDS)
options = parser.parse_args()

ec = ExperimentController(exp_id="G-fleet")
ec.set_global("linux::Application", "okExitCodes", "any")

gateway = ec.register_resource("linux::Node", **lab.gateway(options))
ec.deploy(gateway)

apps = []
for number, name in enumerate(options.nodes, start=1):
    app = ec.register_resource("linux::Application")
    ec.set(app, "command", COMMANDS[options.ask].format(name=name, number=number))
    ec.register_connection(app, gateway)
    apps.append(app)
ec.deploy(apps)
ec.wait_finished(apps)

print(f"{'node':<16} {options.ask:<6} answer")
for name, app in zip(options.nodes, apps, strict=True):
    code = ec.trace(app, "exitcode").strip()
    lines = ec.trace(app, "stdout").split("\n")
    answer = next((line for line in lines[1:] if line), lines[0])
    print(f"{name:<16} {'yes' if code == '0' else 'no':<6} {answer}")

ec.shutdown()
