"""The feeds of campaigns: one campaign, and the list of all."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..engine.campaign_history import START, wait_for_looks
from ..errors.text import escaped
from .campaign_view import CampaignView
from .messages import FLUSH, ThreadFeed, message

if TYPE_CHECKING:
    from ..engine import Backend
    from ..engine.campaign_records import CampaignRecord

LOOK = 1.0
"""Seconds after which the list is read although no worker has looked: a campaign may be new."""

_BLOCK = 1.0
_LISTED = 200


class CampaignFeed(ThreadFeed):
    """One campaign.

    Args:
        backend: the installation.
        name: the campaign.

    Attributes:
        view: the campaign; up to date while browsers show it.
    """

    def __init__(self, backend: Backend, name: str) -> None:
        super().__init__("nepiq-web-campaign")
        self._backend, self._name = backend, name
        self.view = CampaignView(backend, name)
        self._last: dict[str, Any] = {}

    def contents(self, last: str) -> Sequence[bytes]:
        """Return the whole campaign, whatever a browser has received."""
        del last
        letters = self.view.cells.letters
        return [message("campaign", {**self._last, "letters": letters, "changed": []})]

    def follow(self, over: threading.Event) -> None:
        """Follow the history of the campaign until ``over``."""
        view = CampaignView(self._backend, self._name)
        self.publish(over, self._take, view, view.load())
        while not over.is_set():
            entries = view.wait(_BLOCK)
            if entries is not None:
                over.wait(FLUSH)  # more may come, to be sent together
                self.publish(over, self._take, view, view.advance(entries))

    def _take(self, view: CampaignView, data: dict[str, Any]) -> list[bytes]:
        self.view, self._last = view, data
        return [message("campaign", data)]


class CampaignList(ThreadFeed):
    """The list of campaigns, the latest first.

    Args:
        backend: the installation.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__("nepiq-web-campaigns")
        self._backend = backend
        self._last = b""

    def contents(self, last: str) -> Sequence[bytes]:
        """Return the list."""
        del last
        return [self._last]

    def follow(self, over: threading.Event) -> None:
        """Read all each second until ``over``, and a campaign when a worker has looked at it."""
        looks: dict[str, str] = {}
        names: list[str] = []
        records: dict[str, CampaignRecord] = {}
        later: Mapping[str, str] = {}
        due = 0.0
        while not over.is_set():
            stale = list(later)
            if time.monotonic() >= due:
                due = time.monotonic() + LOOK
                names = self._backend.campaigns()
                stale, records = names[:_LISTED], {}
            for name in stale:
                record = self._backend.campaign(name).record()
                if record is not None:
                    records[name] = record
            listed = [
                {**asdict(record), "done": record.done, "why": escaped(record.why)}
                for record in records.values()
            ]
            self.publish(over, self._take, {"campaigns": listed, "number": len(names)})
            looks = {r.name: looks.get(r.name, START) for r in records.values() if not r.over}
            if not looks:
                over.wait(LOOK)
            elif later := wait_for_looks(self._backend.redis, looks, LOOK):
                looks |= later
                over.wait(FLUSH)

    def _take(self, data: dict[str, Any]) -> list[bytes]:
        text = message("campaigns", data)
        changed = text != self._last
        self._last = text
        return [text] if changed else []
