"""linux::Ping with its figures, or an application with the same command: LOGINS COUNT TYPE."""

from __future__ import annotations

import json
import sys
import time

from nepiq.controller import ExperimentController

logins, count, kind = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

with ExperimentController("bench-pings") as ec:
    pings = []
    for login in logins:
        node = ec.register_resource("linux::Node", **login)
        settings = (
            {"target": "127.0.0.1", "count": 1}
            if kind == "linux::Ping"
            else {"command": "ping -c 1 127.0.0.1"}
        )
        pings += [ec.register_resource(kind, connectedTo=node, **settings) for _ in range(count)]
    ec.deploy()
    ec.wait_finished(pings)
    end = time.time()
    if kind == "linux::Ping":
        received = [str(ec.get(ping, "received")) for ping in pings]
    else:
        received = [ec.trace(ping, "stdout").split(" received")[0][-1:] for ping in pings]
    print(json.dumps({"end": end, "outputs": received}), flush=True)
