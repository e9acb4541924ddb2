"""K: a base station, a phone, and a ping between them, each some time after the one before.

As R2lab's demonstration of OpenAirInterface did it: the program of the base station (eNB) starts,
15 s later that of the phone (UE), and 15 s later a ping. When the ping has ended, the shutdown ends
the two programs, which would run for ever. Nothing but the imports, the names of hosts and the
programs differs from a script for NEPI.
"""

from __future__ import annotations

import argparse

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

START, STARTED = ResourceAction.START, ResourceState.STARTED

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("hosts", nargs="*", default=["fit11", "fit23"], help="eNB and UE")
parser.add_argument("--user", help="user on both")
parser.add_argument("--identity", help="private key, on the worker machine")
parser.add_argument("--enb", default="lte-softmodem -O enb.conf", help="program of the eNB")
parser.add_argument("--ue", default="lte-uesoftmodem -O ue.conf", help="program of the UE")
parser.add_argument("--target", default="172.16.0.1", help="address that the UE pings")
parser.add_argument("--settle", default="15s", help="time between starts (%(default)s)")
options = parser.parse_args()

ec = ExperimentController(exp_id="K-mobile-network")

nodes = []
for host in options.hosts:
    node = ec.register_resource("linux::Node")
    ec.set(node, "hostname", host)
    ec.set(node, "username", options.user)
    ec.set(node, "identity", options.identity)
    ec.set(node, "cleanProcesses", True)
    nodes.append(node)

enb = ec.register_resource("linux::Application", label="enb")
ec.set(enb, "command", options.enb)
ec.register_connection(enb, nodes[0])

ue = ec.register_resource("linux::Application", label="ue")
ec.set(ue, "command", options.ue)
ec.register_connection(ue, nodes[1])

ping = ec.register_resource("linux::Application", label="ping")
ec.set(ping, "command", f"ping -c3 -i 0.2 {options.target}")
ec.register_connection(ping, nodes[1])

ec.register_condition(ue, START, enb, STARTED, options.settle)
ec.register_condition(ping, START, ue, STARTED, options.settle)

ec.deploy()
ec.wait_finished(ping)

print(ec.trace(ping, "stdout"))
print("eNB:", ec.trace(enb, "stdout").strip())
print("UE:", ec.trace(ue, "stdout").strip())

ec.shutdown()
