"""Blueprints: what a campaign is made from, an experiment, a file or a function."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..description.files.schema import VERSION
from ..errors import NotAllowed
from ..model.locations import is_location

if TYPE_CHECKING:
    from ..experiment.controller import ExperimentController
    from .build import Build, BuildFunction
    from .campaign_file import CampaignFile


@dataclass(frozen=True)
class Blueprint:
    """What a campaign is made from.

    Attributes:
        exp_id: name of the experiment.
        document: its description.
        plan: the plan of a file, JSON values.
        folder: where its code or its file is.
        module: the module of its build function, if that was given by a script.
        source: the digest of the module of its build function.
        build: its build function, if that is one of the script.
    """

    exp_id: str
    document: Mapping[str, Any]
    plan: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()
    module: str = ""
    source: str = ""
    build: Build | None = None

    @classmethod
    def of(
        cls,
        given: ExperimentController | CampaignFile | BuildFunction | str | Path,
        name: str,
    ) -> Blueprint:
        """Return that of an experiment, a file or a function, for a campaign of this name."""
        from .campaign_file import CampaignFile, read

        if callable(given) or (isinstance(given, str) and is_location(given)):
            return cls._of_function(given, name)
        if isinstance(given, (str, Path)):
            given = read(given)
        if isinstance(given, CampaignFile):
            if script := given.plan.build_of_script:
                raise NotAllowed(
                    f"the runs are described by {script}, a function of a script",
                    where=given.exp_id,
                    hint="run that script",
                )
            plan, document = given.plan.to_document(), given.template.to_document()
            source = "" if given.build is None else given.build.source
            return cls(given.exp_id, document, plan, given.folder, source=source)
        return cls(given.exp_id, json.loads(given.serialize("json")))

    @classmethod
    def _of_function(cls, given: BuildFunction | str, name: str) -> Blueprint:
        from .build import Build

        build = Build.at(given) if isinstance(given, str) else Build.of_script(given)
        document = {"nepiq": VERSION}
        if not is_location(build.location):
            of_script = {"build": {"script": build.location}}
            return cls(name or build.location, document, of_script, build=build)
        folder = Path() if build.file is None else build.file.parent
        exp_id = name or build.location.rpartition(":")[2].rpartition(".")[2]
        plan = {"build": build.location}
        return cls(exp_id, document, plan, folder, build.module, build.source)
