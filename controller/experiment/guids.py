"""Numbers for new resources that no other client of a run gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..description.roster import Guids
from ..engine.redis_errors import contact

if TYPE_CHECKING:
    from ..engine import Run

_LARGEST_BLOCK = 1024


class ReservedGuids(Guids):
    """Numbers that are reserved in the run.

    Args:
        run: the run.
        at: the lowest that may be given.
        nonce: tells this client from others.
    """

    def __init__(self, run: Run, at: int, nonce: str) -> None:
        super().__init__()
        self._run = run
        self._nonce = nonce
        self._next = self._end = at
        self._size = 1
        self._blocks = 0

    def ready(self) -> None:
        """Reserve a block if none is left; each is twice as large as the last."""
        if self._next >= self._end:
            self.reserve()

    def take(self) -> int:
        """The next number."""
        self.ready()
        return super().take()

    def reserve(self) -> None:
        """Reserve the next block."""
        self._blocks += 1
        # The nonce makes a call that is repeated after a lost reply give the same block.
        with contact():
            first = self._run.reserve(self._size, self._next, f"{self._nonce}.{self._blocks}")
        self._next, self._end = first, first + self._size
        self._size = min(2 * self._size, _LARGEST_BLOCK)
