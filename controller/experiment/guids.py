"""Guids reserved in a run, so that no other client of it uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..description.roster import Guids
from ..engine.redis_errors import contact

if TYPE_CHECKING:
    from ..engine import Run

_LARGEST_BLOCK = 1024


class ReservedGuids(Guids):
    """Guids reserved in the run, in blocks.

    Args:
        run: the run.
        at: the lowest guid to use.
        nonce: distinguishes this client from others.
    """

    def __init__(self, run: Run, at: int, nonce: str) -> None:
        super().__init__()
        self._run = run
        self._nonce = nonce
        self._next = self._end = at
        self._size = 1
        self._blocks = 0

    def ready(self) -> None:
        """Reserve a block if none is left; each is twice as large as the one before."""
        if self._next >= self._end:
            self.reserve()

    def take(self) -> int:
        """Return the next guid."""
        self.ready()
        return super().take()

    def reserve(self) -> None:
        """Reserve the next block."""
        self._blocks += 1
        # Because of the nonce, a call repeated after a lost reply returns the same block.
        with contact():
            first = self._run.reserve(self._size, self._next, f"{self._nonce}.{self._blocks}")
        self._next, self._end = first, first + self._size
        self._size = min(2 * self._size, _LARGEST_BLOCK)
