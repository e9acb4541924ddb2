"""Errors inside documents of campaigns, with the path of the part that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import InvalidValue


class Misfit(InvalidValue):
    """A part of a document is invalid.

    Attributes:
        path: keys and indices that lead to the part.
        key: True if its key is wrong, False if its value is.
    """

    path: tuple[str | int, ...] = ()
    key = False


@contextmanager
def inside(*steps: str | int, key: bool = False) -> Iterator[None]:
    """Add the path of a part of a document to the errors of a block.

    Args:
        steps: keys and indices that lead to the part.
        key: True if an error in the block concerns the key.
    """
    try:
        yield
    except InvalidValue as error:
        where = error.where or ("" if key else _place(steps))
        if isinstance(error, Misfit):
            error.path, error.where = (*steps, *error.path), where
            raise
        misfit = Misfit(error.message, where=where, hint=error.hint)
        misfit.path, misfit.key = steps, key
        raise misfit from error


def _place(steps: tuple[str | int, ...]) -> str:
    return next((str(step) for step in reversed(steps) if isinstance(step, str)), "")
