"""nepiq.controller: the public names for writing experiments.

They are imported on first use::

    from nepiq.controller import ExperimentController, ResourceAction, ResourceState
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .campaign.campaign import Campaign as Campaign
    from .campaign.metrics import Metric as Metric
    from .campaign.row import Row as Row
    from .campaign.runner import ExperimentRunner as ExperimentRunner
    from .campaign.space import Space as Space
    from .description.topology.emulation import EmulatedNetwork as EmulatedNetwork
    from .description.topology.emulation import emulate as emulate
    from .description.topology.topology import Topology as Topology
    from .description.topology.topology import TopologyType as TopologyType
    from .engine import RunInfo as RunInfo
    from .engine.transfer.listing import RunFile as RunFile
    from .errors import CampaignError as CampaignError
    from .errors import CommandError as CommandError
    from .errors import ConditionCycle as ConditionCycle
    from .errors import DescriptionError as DescriptionError
    from .errors import DocumentError as DocumentError
    from .errors import EmbeddedError as EmbeddedError
    from .errors import ExperimentFailed as ExperimentFailed
    from .errors import ExperimentReleased as ExperimentReleased
    from .errors import HostError as HostError
    from .errors import InfrastructureError as InfrastructureError
    from .errors import InvalidValue as InvalidValue
    from .errors import NepiqError as NepiqError
    from .errors import NotAllowed as NotAllowed
    from .errors import NoWorker as NoWorker
    from .errors import RedisUnreachable as RedisUnreachable
    from .errors import RunLost as RunLost
    from .errors import StepFailed as StepFailed
    from .errors import TooLate as TooLate
    from .errors import TraceNotFound as TraceNotFound
    from .errors import UnknownAttribute as UnknownAttribute
    from .errors import UnknownCampaign as UnknownCampaign
    from .errors import UnknownPool as UnknownPool
    from .errors import UnknownResource as UnknownResource
    from .errors import UnknownRun as UnknownRun
    from .errors import UnknownType as UnknownType
    from .errors import WaitTimeout as WaitTimeout
    from .experiment.controller import ECState as ECState
    from .experiment.controller import ExperimentController as ExperimentController
    from .experiment.schedule import Task as Task
    from .experiment.schedule import TaskStatus as TaskStatus
    from .experiment.views import FailureLevel as FailureLevel
    from .experiment.views import ResourceView as ResourceView
    from .model import Attribute as Attribute
    from .model import Connection as Connection
    from .model import Context as Context
    from .model import Duration as Duration
    from .model import Environment as Environment
    from .model import Exit as Exit
    from .model import ExitCodes as ExitCodes
    from .model import Flag as Flag
    from .model import Later as Later
    from .model import Launch as Launch
    from .model import Parameter as Parameter
    from .model import Placement as Placement
    from .model import ResourceAction as ResourceAction
    from .model import ResourceManager as ResourceManager
    from .model import ResourceState as ResourceState
    from .model import Retry as Retry
    from .model import Trace as Trace
    from .model import TraceAttr as TraceAttr
    from .nepi import Flags as Flags
    from .nepi import ResourceFactory as ResourceFactory
    from .nepi import ResourceState2str as ResourceState2str
    from .nepi import Types as Types
    from .reports.failures import Failure as Failure
    from .reports.graph.picture import PFormats as PFormats
    from .settings import Settings as Settings

_MODULES = {
    "campaign.campaign": ("Campaign",),
    "campaign.metrics": ("Metric",),
    "campaign.row": ("Row",),
    "campaign.runner": ("ExperimentRunner",),
    "campaign.space": ("Space",),
    "engine": ("RunInfo",),
    "errors": (
        "CampaignError",
        "CommandError",
        "ConditionCycle",
        "DescriptionError",
        "DocumentError",
        "EmbeddedError",
        "ExperimentFailed",
        "ExperimentReleased",
        "HostError",
        "InfrastructureError",
        "InvalidValue",
        "NepiqError",
        "NoWorker",
        "NotAllowed",
        "RedisUnreachable",
        "RunLost",
        "StepFailed",
        "TooLate",
        "TraceNotFound",
        "UnknownPool",
        "UnknownAttribute",
        "UnknownCampaign",
        "UnknownResource",
        "UnknownRun",
        "UnknownType",
        "WaitTimeout",
    ),
    "experiment.controller": ("ECState", "ExperimentController"),
    "experiment.views": ("FailureLevel", "ResourceView"),
    "model": (
        "Attribute",
        "Connection",
        "Context",
        "Duration",
        "Environment",
        "Exit",
        "ExitCodes",
        "Flag",
        "Later",
        "Launch",
        "Parameter",
        "Placement",
        "ResourceAction",
        "ResourceManager",
        "ResourceState",
        "Retry",
        "Trace",
        "TraceAttr",
    ),
    "nepi": ("Flags", "ResourceFactory", "ResourceState2str", "Types"),
    "description.topology.emulation": ("EmulatedNetwork", "emulate"),
    "description.topology.topology": ("Topology", "TopologyType"),
    "reports.failures": ("Failure",),
    "engine.transfer.listing": ("RunFile",),
    "reports.graph.picture": ("PFormats",),
    "experiment.schedule": ("Task", "TaskStatus"),
    "settings": ("Settings",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - a list of names, built from one table


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
