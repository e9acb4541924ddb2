"""A run on the reference model, with the words that tests are written in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tests.reference.model import Model

from nepiq.controller.engine.store.calls import Claim, DueStep, NotDue, Outcome, Reply
from nepiq.controller.engine.store.timing import Timing
from nepiq.controller.model.spec import Gate, ResourceSpec


def null(guid: int, *gates: Gate, **fields: Any) -> ResourceSpec:
    """A resource that does no I/O."""
    fields.setdefault("batch", True)
    return ResourceSpec(guid, "nepiq::Null", f"null-{guid}", gates=gates, **fields)


def node(guid: int, **fields: Any) -> ResourceSpec:
    """A host."""
    queue = fields.pop("queue", "nepiq.default")
    fields.setdefault("site", "default")
    return ResourceSpec(
        guid, "linux::Node", f"node-{guid}", queue=queue, host=guid, is_host=True, **fields
    )


def app(guid: int, host: int, *gates: Gate, **fields: Any) -> ResourceSpec:
    """An application, which needs its host READY and is released before it."""
    need = Gate("deploy", host, "READY", 0.0, need=True)
    return ResourceSpec(
        guid,
        "linux::Application",
        f"app-{guid}",
        queue="nepiq.default",
        host=host,
        gates=(need, *gates),
        after=(host, *fields.pop("after", ())),
        **fields,
    )


class Bench:
    """A run, its clock, and what was handed out so far.

    Args:
        specs: resource managers to upload.
        timing: constants that differ from the default.
    """

    def __init__(self, *specs: ResourceSpec, **timing: Any) -> None:
        self.now = 1000.0
        self.model = Model(lambda: self.now, Timing(**timing))
        self.submitted: list[DueStep] = []
        self._serial = itertools.count(1)
        self.model.create("creator", "experiment")
        self.upload(*specs)

    # -- doing ----------------------------------------------------------------------------------

    def upload(self, *specs: ResourceSpec) -> str:
        """Upload resource managers."""
        return self.model.upload("creator", specs)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def call(self, name: str, *args: Any, settle: bool = True, **named: Any) -> Reply:
        """Run a script and note what it hands out; go on with the rest unless told not to."""
        reply: Reply = getattr(self.model, name)(*args, **named)
        self.submitted += reply.due
        while settle and reply.more:
            more = self.model.go_on()
            self.submitted += more.due
            reply = reply._replace(more=more.more, ended=more.ended)
        return reply

    def deploy(self, *guids: int, group: int | str | None = "new", settle: bool = True) -> Reply:
        """Deploy; all that there are by default."""
        chosen = list(guids) or [int(guid) for guid in self.model.list_at("rms")]
        return self.call("deploy", f"d{next(self._serial)}", group, chosen, settle=settle)

    def claim(
        self, step: str, *, worker: str = "w1", machine: str = "m1", nonce: str = ""
    ) -> Claim | NotDue | None:
        """Claim one step."""
        return self.claim_all([step], worker=worker, machine=machine, nonce=nonce)[0]

    def claim_all(
        self, steps: Sequence[str], *, worker: str = "w1", machine: str = "m1", nonce: str = ""
    ) -> list[Claim | NotDue | None]:
        """Claim steps together."""
        chosen = nonce or f"n{next(self._serial)}"
        reply, answers = self.model.claim(steps, chosen, worker, machine)
        self.submitted += reply.due
        return answers

    def take(self, step: str, **how: str) -> int:
        """Claim a step that must be granted; its token."""
        claim = self.claim(step, **how)
        assert isinstance(claim, Claim), f"{step}: {claim}"
        return claim.token

    def commit(self, step: str, token: int, kind: str = "ok", **outcome: Any) -> str:
        """End an attempt; its status."""
        if kind in ("failed", "FAILED"):
            outcome.setdefault("info", {"message": "boom"})
        reply, statuses = self.model.commit([Outcome(step, token, kind, **outcome)])
        self.submitted += reply.due
        self.settle()
        return statuses[0]

    def do(self, step: str, kind: str = "ok", **outcome: Any) -> None:
        """Claim a step and end it."""
        assert self.commit(step, self.take(step), kind, **outcome) == "OK"

    def start(self, *guids: int) -> None:
        """Deploy and start resource managers that nothing stands in the way of."""
        for action in ("deploy", "start"):
            for guid in guids:
                self.do(f"{guid}.{action}")

    def settle(self) -> None:
        """Go on until nothing is left to do."""
        more = True
        while more:
            reply = self.model.go_on()
            self.submitted += reply.due
            more = reply.more

    def sweep(self) -> Reply:
        """A sweep after ones in time, so that claims are taken back."""
        self.model.meta["swept"] = f"{self.now:.6f}"
        self.model.meta.setdefault("reclaim", "0")
        return self.call("sweep")

    # -- looking --------------------------------------------------------------------------------

    def state(self, guid: int) -> str:
        """The state of an RM."""
        return self.model.rm(str(guid))["state"]

    def states(self, *guids: int) -> list[str]:
        """The states of some RMs."""
        return [self.state(guid) for guid in guids]

    def status(self, step: str) -> str:
        """The status of a step; empty if it does not exist."""
        return self.model.step(step).get("status", "")

    def milestone(self, guid: int, name: str) -> float | None:
        """When an RM reached a milestone, from the beginning of the test."""
        reached = self.model.rm(str(guid)).get(name)
        return None if reached is None else round(float(reached) - 1000, 6)

    def error(self, guid: int) -> str:
        """Why an RM failed."""
        return self.model.rm(str(guid)).get("error", "")

    @property
    def phase(self) -> str:
        """The phase of the run."""
        return self.model.meta["phase"]

    def handed_out(self) -> list[str]:
        """Steps handed out since the last look."""
        steps = [due.step for due in self.submitted]
        self.submitted.clear()
        return steps

    def live_steps(self) -> list[str]:
        """Steps that have not ended."""
        return [
            key[5:]
            for key, record in self.model.hashes.items()
            if key.startswith("step:") and record and record["status"] not in ("done", "void")
        ]
