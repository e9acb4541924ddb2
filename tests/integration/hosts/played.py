"""A resource whose hooks act on a rig, without Redis and workers."""

from __future__ import annotations

import logging
from typing import Any

from nepiq.controller.model import Context, Deadline
from nepiq.controller.model.host import Exit
from nepiq.controller.resources.linux.application import Application
from nepiq.controller.resources.linux.node import Node
from nepiq.controller.testing import Harness

from .rig import Rig, until

_log = logging.getLogger(__name__)


class Played:
    """A resource of a rig.

    Args:
        rig: where it acts.
        cls: its class.
        guid: its guid.
        attributes: as users write them.
    """

    def __init__(
        self, rig: Rig, cls: type[Application], *, guid: int = 5, **attributes: Any
    ) -> None:
        self.rig, self.cls, self.guid = rig, cls, guid
        self.attributes: dict[str, Any] = Harness(cls, node=Harness(Node), **attributes).attributes

    def act(self, hook: str) -> Any:
        """Call a hook, and keep what it assigned."""
        node = Node.load(guid=1, attributes={})
        resource = self.cls.load(
            guid=self.guid,
            run_id=self.rig.run_id,
            attributes=self.attributes,
            peers={"node": lambda: [node]},
        )
        context = Context(self.rig.host(self.guid), resource.peers, 1, Deadline.after(30), _log)
        answer = getattr(resource, hook)(context)
        self.attributes |= resource.changes()
        return answer

    def start(self) -> Any:
        """Deploy and start it."""
        self.act("do_deploy")
        return self.act("do_start")

    def exit(self) -> Exit:
        """Deploy and start it, and return its exit."""
        self.start()
        return self.ended()

    def ended(self) -> Exit:
        """Wait for its exit."""
        until((self.rig.run_dir(self.guid) / ".told").exists)
        exit_ = self.rig.host(self.guid).supervise("").exit
        assert exit_ is not None
        return exit_
