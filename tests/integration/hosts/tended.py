"""What the worker's watch of a node does, for tests on one host without Redis."""

from __future__ import annotations

import threading

from nepiq.controller.errors import FencedError, HostError
from nepiq.controller.model.host import Exit
from nepiq.workers.hosts import (
    Dismantled,
    Follow,
    HostHeartbeat,
    Journal,
    Lost,
    ProcessExit,
    follow,
)

from .rig import Rig


class Tended(threading.Thread):
    """Follows a node, makes anew what was removed there, and compares as the worker does.

    Attributes:
        running: what Redis takes for running.
        beats: how many were heard.
    """

    def __init__(self, rig: Rig) -> None:
        super().__init__(daemon=True)
        self.running: list[tuple[int, int]] = []
        self.beats = 0
        self._rig = rig
        self._known = ("", 0)
        self._ends: list[tuple[int, Exit]] = []
        self._over = threading.Event()
        self._going, self._paused = threading.Event(), threading.Event()
        self._going.set()
        self._entries: Follow | None = None
        self.start()

    def ends(self, guid: int) -> list[Exit]:
        """How a resource ended, as often as it was told."""
        return [ended for told, ended in list(self._ends) if told == guid]

    def seen(self) -> str:
        """What there is to see of the node: files that tell ends, processes, and its beats."""
        root = self._rig.root()
        told = [
            f"{path.relative_to(root)}: {path.read_text(errors='replace').strip()!r}"
            for path in sorted([root / "journal", *root.glob("5/1/.*")])
            if path.is_file()
        ]
        return "; ".join([*told, f"alive {self._rig.bearers()}", f"{self.beats} beats"])

    def begin_anew(self) -> None:
        """Lose the channel, and follow again."""
        if self._entries is not None:
            self._entries.close()

    def pause(self) -> None:
        """Lose the channel, and follow no more until told to go on."""
        self._going.clear()
        self.begin_anew()
        assert self._paused.wait(10.0)

    def go_on(self) -> None:
        """Follow again."""
        self._going.set()

    def run(self) -> None:
        """Follow until closed."""
        while not self._over.is_set():
            if not self._going.is_set():
                self._paused.set()
                self._going.wait()
            try:
                self._follow()
            except FencedError:
                self._restore()
            except HostError:
                self._over.wait(0.05)

    def _restore(self) -> None:
        try:
            self._rig.host(1, token=1).restore()
        except HostError:
            self._over.wait(0.05)

    def _follow(self) -> None:
        rig = self._rig
        self._entries = entries = follow(rig.session, rig.run_id, 1, *self._known)
        try:
            for entry in entries:
                self._take(entries, entry)
                if self._over.is_set():
                    return
        finally:
            entries.close()

    def _take(self, entries: Follow, entry: object) -> None:
        if isinstance(entry, Journal):
            entries.question(self.running)
        elif isinstance(entry, HostHeartbeat):
            self.beats += 1
        elif isinstance(entry, ProcessExit):
            self._ends.append((entry.guid, entry.exit))
            if entry.journal_id:
                self._known = (entry.journal_id, entry.offset)
        elif isinstance(entry, Dismantled):
            self._over.wait(0.05)
        elif isinstance(entry, Lost):
            self._ends.append((entry.guid, Exit(None, "FAILED", reason=entry.reason)))

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._going.set()
        self.begin_anew()
        self.join(10)
        assert not self.is_alive()
