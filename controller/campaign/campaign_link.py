"""The link of a client to a campaign in Redis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..engine.campaign_records import CampaignRecord
from ..engine.campaigns import CampaignStore
from ..engine.redis_errors import contact
from ..errors import NotAllowed, UnknownCampaign
from ..experiment.connect import Access
from ..settings import Settings
from .definition import Definition

if TYPE_CHECKING:
    from ..engine import Backend


class CampaignLink:
    """Reads and changes a campaign in Redis; connects when it is first used.

    Args:
        name: of the campaign.
        settings: where Redis is; read from the environment by default.

    Attributes:
        name: as given.
    """

    def __init__(self, name: str, settings: Settings | None) -> None:
        self.name = name
        self._settings = settings
        self._access: Access | None = None

    @property
    def access(self) -> Access:
        """The connections to the engine."""
        if self._access is None:
            self._access = Access(self._settings)
        return self._access

    @property
    def backend(self) -> Backend:
        """The engine."""
        return self.access.backend

    @property
    def store(self) -> CampaignStore:
        """The records of the campaign."""
        return self.backend.campaign(self.name)

    def record(self) -> CampaignRecord:
        """Return how far the campaign is.

        Raises:
            UnknownCampaign: it does not exist.
        """
        with contact():
            record = self.store.record()
        if record is None:
            raise self._unknown()
        return record

    def require_idle(self) -> None:
        """Return if the campaign begins no run, and none is under way.

        Raises:
            UnknownCampaign: it does not exist.
            NotAllowed: it begins runs, or some are under way.
        """
        record = self.record()
        if record.active or record.phase == "running":
            raise NotAllowed(
                f"campaign {self.name} is {record.phase}, {record.active} runs are under way",
                hint=f"nepiq campaign cancel {self.name}",
            )

    def definition(self) -> Definition:
        """Return the campaign as workers carry it out.

        Raises:
            UnknownCampaign: it does not exist.
        """
        definition = Definition.read(self.store)
        if definition is None:
            raise self._unknown()
        return definition

    def change(self, verb: str, *args: str | int) -> int:
        """Change the campaign by a verb of its store; return the number of runs concerned.

        Raises:
            UnknownCampaign: it does not exist.
        """
        with contact():
            status, number = self.store.change(verb, *args)
        self._require(status)
        return number

    def add(self, segment: Mapping[str, Any], known: int, count: int) -> bool:
        """Add a segment; return False if another client has added one meanwhile.

        Several processes may do this: the same segment is added once.

        Args:
            segment: its JSON values.
            known: number of segments that the campaign has, as the caller knows it.
            count: number of its runs.

        Raises:
            UnknownCampaign: the campaign does not exist.
        """
        status = self.store.add(digest(segment), known, count, segment)
        if status == "CHANGED":
            return False
        self._require(status)
        return True

    def close(self) -> None:
        """Close the connections, until they are used again."""
        if self._access is not None:
            self._access.close()
            self._access = None

    # -- inside -------------------------------------------------------------------------------

    def _require(self, status: str) -> None:
        if status != "OK":
            raise self._unknown()

    def _unknown(self) -> UnknownCampaign:
        with contact():
            names = self.backend.campaigns()
        return UnknownCampaign(self.name, names)


def digest(value: Any) -> str:
    """Return a name for JSON values, the same for the same values."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
