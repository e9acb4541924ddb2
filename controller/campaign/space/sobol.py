"""Sobol's sequence: points that cover a cube evenly, computed one by one.

Direction numbers are those of S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better
two-dimensional projections" (2008), file new-joe-kuo-6.21201. Seeds shift the digits of each
dimension. A library would have to be installed, in the same version, on all workers.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

_BITS = 32
#: Degree, coefficients and first direction numbers of dimensions 2 and above.
_TABLE: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (1, 0, (1,)),
    (2, 1, (1, 3)),
    (3, 1, (1, 3, 1)),
    (3, 2, (1, 1, 1)),
    (4, 1, (1, 1, 3, 3)),
    (4, 4, (1, 3, 5, 13)),
    (5, 2, (1, 1, 5, 5, 17)),
    (5, 4, (1, 1, 5, 5, 5)),
    (5, 7, (1, 1, 7, 11, 19)),
    (5, 11, (1, 1, 5, 1, 1)),
    (5, 13, (1, 1, 1, 3, 11)),
    (5, 14, (1, 3, 5, 5, 31)),
    (6, 1, (1, 3, 3, 9, 7, 49)),
    (6, 13, (1, 1, 1, 15, 21, 21)),
    (6, 16, (1, 3, 1, 13, 27, 49)),
    (6, 19, (1, 1, 1, 15, 7, 5)),
    (6, 22, (1, 3, 1, 15, 13, 25)),
    (6, 25, (1, 1, 5, 5, 19, 61)),
    (7, 1, (1, 3, 7, 11, 23, 15, 103)),
    (7, 4, (1, 3, 7, 13, 13, 15, 69)),
)
#: Maximum number of dimensions.
DIMENSIONS = len(_TABLE) + 1
#: Maximum number of points.
LONGEST = 2**_BITS


@lru_cache(maxsize=DIMENSIONS)
def _directions(dimension: int) -> tuple[int, ...]:
    if dimension == 0:
        return tuple(1 << (_BITS - 1 - bit) for bit in range(_BITS))
    degree, coefficients, first = _TABLE[dimension - 1]
    numbers = [value << (_BITS - 1 - bit) for bit, value in enumerate(first)]
    for bit in range(degree, _BITS):
        number = numbers[bit - degree] ^ (numbers[bit - degree] >> degree)
        for step in range(1, degree):
            if coefficients >> (degree - 1 - step) & 1:
                number ^= numbers[bit - step]
        numbers.append(number)
    return tuple(numbers)


def shift(seed: int, dimension: int) -> int:
    """Return the digits that a seed adds to a dimension."""
    digest = hashlib.sha256(f"sobol:{seed}:{dimension}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def coordinate(index: int, dimension: int) -> int:
    """Return a coordinate of a point of the sequence, in units of 2**-32.

    Args:
        index: the point, from 0.
        dimension: the dimension, from 0.
    """
    gray, number = index ^ (index >> 1), 0
    directions = _directions(dimension)
    bit = 0
    while gray:
        if gray & 1:
            number ^= directions[bit]
        gray >>= 1
        bit += 1
    return number
