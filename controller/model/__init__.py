"""The building blocks of experiments; a resource class imports all it needs from here.

Nothing in this package uses Redis, Celery or a machine. Names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .actions import Outcome as Outcome
    from .actions import perform as perform
    from .attributes import Attribute as Attribute
    from .attributes import Flag as Flag
    from .configuration import ROUTE_PROTOCOL as ROUTE_PROTOCOL
    from .configuration import Change as Change
    from .configuration import device_name as device_name
    from .configuration import link_alias as link_alias
    from .configuration import namespace_name as namespace_name
    from .connections import ANY as ANY
    from .connections import Connection as Connection
    from .contents import Content as Content
    from .contents import Contents as Contents
    from .durations import Deadline as Deadline
    from .durations import seconds as seconds
    from .expressions import Expression as Expression
    from .facts import Facts as Facts
    from .facts import Interface as Interface
    from .figures import Figure as Figure
    from .figures import Outputs as Outputs
    from .hooks import Later as Later
    from .hooks import Retry as Retry
    from .host import NO_HOST as NO_HOST
    from .host import Context as Context
    from .host import Exit as Exit
    from .host import Host as Host
    from .host import Launch as Launch
    from .host import Life as Life
    from .host import LineChannel as LineChannel
    from .host import Result as Result
    from .lifecycle import Action as Action
    from .lifecycle import ResourceAction as ResourceAction
    from .lifecycle import ResourceState as ResourceState
    from .lifecycle import State as State
    from .login import Login as Login
    from .parameters import Parameter as Parameter
    from .pools import AssignedHost as AssignedHost
    from .pools import Granted as Granted
    from .pools import HostLease as HostLease
    from .pools import Pools as Pools
    from .pools import Queued as Queued
    from .pools import Requester as Requester
    from .pools import Want as Want
    from .resource import Placement as Placement
    from .resource import ResourceManager as ResourceManager
    from .traces import Trace as Trace
    from .traces import TraceAttr as TraceAttr
    from .values import AbsolutePath as AbsolutePath
    from .values import Duration as Duration
    from .values import Environment as Environment
    from .values import ExitCodes as ExitCodes
    from .values import Name as Name
    from .values import Parsed as Parsed
    from .values import Readiness as Readiness
    from .values import RelativePath as RelativePath
    from .values import SecretReference as SecretReference
    from .values import StopSignal as StopSignal

_MODULES = {
    "actions": ("Outcome", "perform"),
    "attributes": ("Attribute", "Flag"),
    "configuration": ("ROUTE_PROTOCOL", "Change", "device_name", "link_alias", "namespace_name"),
    "connections": ("ANY", "Connection"),
    "contents": ("Content", "Contents"),
    "expressions": ("Expression",),
    "facts": ("Facts", "Interface"),
    "figures": ("Figure", "Outputs"),
    "hooks": ("Later", "Retry"),
    "host": (
        "NO_HOST",
        "Context",
        "Exit",
        "Host",
        "Launch",
        "Life",
        "LineChannel",
        "Result",
    ),
    "lifecycle": ("Action", "ResourceAction", "ResourceState", "State"),
    "login": ("Login",),
    "parameters": ("Parameter",),
    "pools": ("AssignedHost", "Granted", "HostLease", "Pools", "Queued", "Requester", "Want"),
    "resource": ("Placement", "ResourceManager"),
    "durations": ("Deadline", "seconds"),
    "traces": ("Trace", "TraceAttr"),
    "values": (
        "AbsolutePath",
        "Duration",
        "Environment",
        "ExitCodes",
        "Name",
        "Parsed",
        "Readiness",
        "RelativePath",
        "SecretReference",
        "StopSignal",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - a list of names, built from one table


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value
