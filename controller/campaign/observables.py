"""Observables: what is read and kept of each ended run of a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import CampaignError
from .file_store import Keep
from .metrics import parse_all
from .precision import Precision
from .row import FAILED

if TYPE_CHECKING:
    from .compiled import Base


class Observables:
    """What is read and kept of each ended run of a campaign: values, files, directories.

    Args:
        data: the JSON values of its definition.

    Attributes:
        metrics: the metrics that workers read, by name.
        scripts: names of the metrics that are functions of the script.
        asks: name of the function of the script that decides whether a point needs further runs.
        precisions: of the metrics at which a point needs no further run.
        least: number of runs that each point needs in any case.
        collect: the files to collect, by label of the resource.
        keep: the runs whose files are collected.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        metrics = parse_all(data["metrics"])
        self.scripts = [name for name, metric in metrics.items() if metric.script]
        self.metrics = {name: item for name, item in metrics.items() if not item.script}
        self.asks = str(data.get("asks", ""))
        self.precisions = [Precision.of_document(item) for item in data["stop"]]
        self.least = int(data["least"])
        self.collect: Mapping[str, Sequence[str]] = data.get("collect", {})
        self.keep: Keep = data.get("keep", "all")
        self._directories = data.get("directories", "none")

    @property
    def reads_traces(self) -> bool:
        """True if workers read more than attributes."""
        return not all(metric.figure for metric in self.metrics.values())

    @property
    def calls_functions(self) -> bool:
        """True if workers call functions, which are given the experiment."""
        return any(metric.function for metric in self.metrics.values())

    @property
    def collects(self) -> bool:
        """True if files of runs are collected."""
        return bool(self.collect) and self.keep != "none"

    @property
    def needs_script(self) -> bool:
        """True if runs wait for a script that measures them."""
        return bool(self.scripts or self.asks)

    @property
    def stops(self) -> bool:
        """True if a point may need fewer runs than it may have."""
        return bool(self.precisions or self.asks)

    @property
    def leaves_nothing(self) -> bool:
        """True if the directories of runs are removed from hosts by the release, unread."""
        return self._directories == "none" and not self._reads_directories

    def clears_after(self, outcome: str) -> bool:
        """Return whether the directories of a run are removed from hosts when it has its row."""
        if self._directories == "none":
            return self._reads_directories
        return self._directories == "failed" and outcome != FAILED

    def check_files(self, base: Base) -> None:
        """Check that a run can have the files that are to be collected.

        Raises:
            CampaignError: a resource leaves no files.
        """
        for label in self.collect:
            host = base.description.host_of(label)
            if host is None:
                raise CampaignError(
                    "there are no files to collect, since it does not run on a host", where=label
                )
            for guid in {base.guids[label], host}:
                if base.description.get(guid, "hardRelease") is True:
                    raise CampaignError(
                        f"hardRelease of {base.description.label(guid)} removes its files before "
                        "they are collected",
                        where=label,
                        hint="leave it out: a campaign removes the directories of its runs",
                    )

    @property
    def _reads_directories(self) -> bool:
        return self.reads_traces or self.collects or self.needs_script
