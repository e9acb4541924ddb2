"""Where the lab is: what the scripts beside this one are told on the command line."""

from __future__ import annotations

import argparse
import os
from typing import Any

ENV = os.environ.get


def parser(about: str | None, nodes: list[str]) -> argparse.ArgumentParser:
    """Options that all scripts share; each default is R2lab's, or taken from the environment."""
    made = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("nodes", nargs="*", default=nodes, help=f"host names ({nodes[0]} ... {nodes[-1]})")
    add("--gateway", default=ENV("R2LAB_GATEWAY", "faraday.inria.fr"), help="%(default)s")
    add("--slice", default=ENV("R2LAB_SLICE", "inria_test"), help="user at the gateway")
    add("--user", default=ENV("R2LAB_USER", "root"), help="user on the nodes (%(default)s)")
    add("--identity", default=ENV("R2LAB_IDENTITY"), help="private key, on the worker machine")
    add("--interface", default=ENV("R2LAB_INTERFACE", "data"), help="wired card (%(default)s)")
    return made


def gateway(options: argparse.Namespace) -> dict[str, Any]:
    """Attributes of the gateway as a node."""
    return {
        "hostname": options.gateway,
        "username": options.slice,
        "identity": options.identity,
        "cleanExperiment": True,
        "cleanProcessesAfter": False,
    }


def behind(options: argparse.Namespace, hostname: str) -> dict[str, Any]:
    """Attributes of a node behind the gateway."""
    return {
        "hostname": hostname,
        "username": options.user,
        "identity": options.identity,
        "gateway": options.gateway,
        "gatewayUser": options.slice,
        "cleanExperiment": True,
        "cleanProcesses": True,
    }
