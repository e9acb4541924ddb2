"""Permutations that a key chooses and that are computed without a list."""

from __future__ import annotations

import hashlib
from math import isqrt

_ROUNDS = 6
#: Maximum size, so that a hash has more bits than a digit.
LARGEST = 2**800


class Permutation:
    """A permutation of the numbers below a size: a Feistel network over two digits.

    A number is written as two digits of about the same base. Each round adds a hash of one digit
    to the other (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). A result
    that is not below the size is permuted again until it is.

    Args:
        size: how many numbers, at most :data:`LARGEST`.
        key: text that chooses the permutation; the same in every process.
    """

    __slots__ = ("_bases", "_hash", "size")

    def __init__(self, size: int, key: str) -> None:
        self.size = size
        high = max(isqrt(size), 1)
        self._bases = (high, -(-size // high))
        self._hash = hashlib.blake2b(key.encode())

    def __getitem__(self, number: int) -> int:
        """Return the place of a number."""
        while True:
            high, low = divmod(number, self._bases[1])
            for turn in range(0, _ROUNDS, 2):
                high = (high + self._mix(turn, low)) % self._bases[0]
                low = (low + self._mix(turn + 1, high)) % self._bases[1]
            number = high * self._bases[1] + low
            if number < self.size:
                return number

    def inverse(self, place: int) -> int:
        """Return the number of a place."""
        while True:
            high, low = divmod(place, self._bases[1])
            for turn in range(_ROUNDS - 2, -1, -2):
                low = (low - self._mix(turn + 1, high)) % self._bases[1]
                high = (high - self._mix(turn, low)) % self._bases[0]
            place = high * self._bases[1] + low
            if place < self.size:
                return place

    def _mix(self, turn: int, digit: int) -> int:
        state = self._hash.copy()
        state.update(b"%d:%d" % (turn, digit))
        return int.from_bytes(state.digest(), "big")
