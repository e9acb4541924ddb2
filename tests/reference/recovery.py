"""What sweepers do: take up messages and workers that were lost, release what was left alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from nepiq.controller.engine.store.calls import Reply

from .claims import Claims
from .records import action_of, guid_of, number, text, to_json

_PLACES = 8
_PATIENCE = 6


@dataclass
class Recovery(Claims):
    """The scripts of workers and sweepers."""

    def sweep(self, backlogged: Collection[str] = ()) -> Reply:
        """Look after alarms that rang; ``detail`` is how many."""
        if not self._begin():
            return Reply("GONE")
        swept = number(self.meta.get("swept", self.meta["created"]))
        if self.now - swept > self.timing.lease / 3:
            # Redis or the sweepers stood still: leases could not be renewed either.
            self.meta["reclaim"] = text(self.now + self.timing.lease)
        else:
            self.meta.setdefault("reclaim", text(self.now))
        self.meta["swept"] = text(self.now)
        rang = sorted((at, step) for step, at in self.alarm.items() if at <= self.now)
        self.budget -= len(rang[: self.timing.limit])
        for _, step in rang[: self.timing.limit]:
            self.look_after(step, backlogged)
        after = self.meta.get("release_after")
        attended = not after or self.now <= number(self.meta["seen"]) + float(after)
        # Clients could not tell that they are there while Redis or the sweepers stood still.
        if not attended and self.now >= number(self.meta["reclaim"]):
            self.order_release("unattended", None)
        return self._reply("OK", str(len(rang[: self.timing.limit])))

    # -- losing workers ----------------------------------------------------------------------------

    def look_after(self, step: str, backlogged: Collection[str] = ()) -> None:
        """The alarm of a step rang: its message or its worker may be lost."""
        record = self.step(step)
        if self.alarm[step] > self.now:
            return  # A step before this one has moved it.
        if record["status"] == "claimed":
            if self.now < number(self.meta["reclaim"]):
                self.alarm[step] = number(self.meta["reclaim"])
            else:
                self._take_back(step)
        elif record.get("lined") == "1":
            self.line_up(step, self.busy_host(step))
            self.offer_places(self.busy_host(step))
        elif self._is_queued(step, backlogged):
            self.look_again(step)
        else:
            self.hand_out(step)

    def _is_queued(self, step: str, backlogged: Collection[str]) -> bool:
        """Whether the message of a step is probably one of those that wait for a worker."""
        queued = self.queue_of(self.rm(guid_of(step))) in backlogged
        return queued and 0 < int(self.step(step).get("sent", 0)) < _PATIENCE

    def _take_back(self, step: str) -> None:
        record, guid = self.step(step), guid_of(step)
        lost = int(record.get("lost", 0)) + 1
        record["lost"] = str(lost)
        self.event(guid, "lost", self.cause(step))
        if lost >= self.timing.max_lost:
            self._give_up(step)
        elif self.forbidden(action_of(step)) or record.get("cancel"):
            self.void(step)
        else:
            self.give_back(step, self.now + self._apart(int(guid), lost))

    def _apart(self, guid: int, lost: int) -> float:
        """How long a lost step waits, so that neighbours in one worker do not meet again.

        A step that kills its workers would take the same ones with it each time, until they fail
        for its fault. The second time they come one after the other, then in opposite order.
        """
        place = guid % _PLACES
        places = {2: place, 3: _PLACES - 1 - place}
        return self.timing.grace * places.get(lost, 0)

    def _give_up(self, step: str) -> None:
        """A step whose workers keep dying will not kill more of them."""
        guid, action, cause = guid_of(step), action_of(step), self.cause(step)
        error = to_json({"message": f"worker lost {self.timing.max_lost} times"})
        self.void(step)
        self.step(step)["error"] = error
        if action == "release":
            self.released(guid, cause, error)
        elif action != "set":
            self.fail(guid, error, self.is_critical(guid), cause)

    def order_release(self, order: str, guids: Iterable[int] | None) -> None:
        """Write down a release, once."""
        record = self.hash_at(f"order:{order}")
        if record:
            return
        if self.meta["server"] != self.server:
            self.meta["restarted"] = "1"
        record.update(kind="release", at="0")
        if guids is None:
            record.update(all="1", n=str(len(self.list_at("rms"))))
            if self.meta["phase"] in ("RUNNING", "FAILED"):
                self.meta["phase"] = "RELEASING"
                self.event("0", "RELEASING")
        else:
            listed = self.list_at(f"list:{order}")
            listed.extend(self.living_on(str(guid) for guid in guids))
            record["n"] = str(len(listed))
        self.todo.append(f"r|{order}")
