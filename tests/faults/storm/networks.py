"""Emulated networks on the hosts of a storm, of which nothing may be left."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping

from tests import network_scan
from tests.faults.network_kinds import ON_HOST
from tests.testbed import Host

from nepiq.controller import ExperimentController

#: Emulated hosts in a row on each host, linked one with the next.
_LENGTH = 4

Scans = Mapping[str, dict[str, list[str]]]


def describe(
    ec: ExperimentController, nodes: Mapping[str, int], after: list[int]
) -> tuple[dict[int, str], list[int]]:
    """Register a network on each host.

    Returns its resources with the names of their hosts, and those to be deployed by another call.

    Args:
        ec: takes it.
        nodes: guid by name of the host.
        after: resources of which some are awaited before a part of the network is made.
    """
    rng = random.Random(f"networks of {ec.exp_id}")
    made: dict[int, str] = {}
    later: list[int] = []
    for name, node in nodes.items():
        row = [_add(ec, "netns::Node", connectedTo=node) for _ in range(_LENGTH)]
        links = [
            _add(ec, "netns::Link", ends=[left, right], ip1=f"10.0.{number}.1/30")
            for number, (left, right) in enumerate(itertools.pairwise(row))
        ]
        others = [
            _add(ec, rtype, connectedTo=node, **attributes)
            for kind, (rtype, attributes) in ON_HOST.items()
            if kind != "slow"
        ]
        bridge = _add(ec, "linux::Bridge", connectedTo=node, ip="10.213.0.1")
        bucket = {"rate": "1mbit", "direction": "out"}
        others += [bridge, _add(ec, "linux::Impairment", connectedTo=bridge, **bucket)]
        inside = _add(ec, "linux::Application", command="exec sleep 10000", connectedTo=row[0])
        for guid in others:
            ec.register_condition(guid, "DEPLOY", rng.choice(after), "STARTED")
        made |= dict.fromkeys([*row, *links, *others, inside], name)
        later += others
    return made, later


def _add(ec: ExperimentController, rtype: str, **attributes: object) -> int:
    return ec.register_resource(rtype, critical=False, **attributes)


def scan(hosts: Mapping[str, Host]) -> Scans:
    """Return what the kernels of hosts have of networks."""
    return {
        name: network_scan.scan(lambda command, host=host: host.run(command, user="root").stdout)  # type: ignore[misc]
        for name, host in hosts.items()
    }


def left(before: Scans, hosts: Mapping[str, Host]) -> Iterator[str]:
    """What is other on hosts than it was."""
    after = scan(hosts)
    for name in hosts:
        for line in network_scan.differences(before[name], after[name])[:5]:
            yield f"{name}: {line}"
