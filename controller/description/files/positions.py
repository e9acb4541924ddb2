"""Positions of keys and values in a file, and the errors at these positions."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import DocumentError, NepiqError
from ...errors.text import one_line

#: Keys and indices that lead from the top of a document to a part of it.
Path = tuple[str | int, ...]
#: Line and column, counted from 1.
Mark = tuple[int, int]


class Positions:
    """The positions of all keys and values of one file.

    Attributes:
        name: the file, for errors.
        is_file: False for data that is not from a file; errors have the path of the part then.
        keys: positions of the keys.
        values: positions of the values.
    """

    def __init__(self, name: str, *, is_file: bool = True) -> None:
        self.name = one_line(name)
        self.is_file = is_file
        self.keys: dict[Path, Mark] = {}
        self.values: dict[Path, Mark] = {}

    def find(self, path: Path, *, key: bool = False) -> Mark | None:
        """Return the position of a part of the document, or of the part that contains it.

        Args:
            path: the path of the part.
            key: True for its key, False for its value.
        """
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        for spelling in _spellings(path):
            mark = first.get(spelling) or second.get(spelling)
            if mark is not None:
                return mark
        for length in range(len(path) - 1, -1, -1):
            for spelling in _spellings(path[:length]):
                mark = self.keys.get(spelling) or self.values.get(spelling)
                if mark is not None:
                    return mark
        return None


def _spellings(path: Path) -> Iterator[Path]:
    """Yield a path, and the path if lists of one item are written as that item."""
    yield path
    if 0 in path:
        yield tuple(step for step in path if step != 0)


#: Maximum number of errors reported for a file, and of warnings.
MOST = 20


class Findings:
    """The errors of a file, collected to be raised together.

    Args:
        positions: the positions in the file.
    """

    def __init__(self, positions: Positions) -> None:
        self.positions = positions
        self._count = 0
        self._errors: list[tuple[Mark, NepiqError]] = []

    def add(self, error: NepiqError, path: Path = (), *, key: bool = False) -> None:
        """Add an error at the position of a part of the document."""
        if self.positions.is_file:
            self.add_at(error, self.positions.find(path, key=key))
        else:
            error.where = ".".join(map(str, path)) or self.positions.name
            self._errors.append(((1, len(self._errors)), error))
            self._count += 1

    def add_at(self, error: NepiqError, mark: Mark | None) -> None:
        """Add an error at a position; None for the beginning of the file."""
        line, column = mark or (1, 1)
        error.where = f"{self.positions.name}:{line}:{column}"
        self._count += 1
        self._errors.append(((line, column), error))
        if len(self._errors) > 50 * MOST:
            self._errors = self._first()

    def _first(self) -> list[tuple[Mark, NepiqError]]:
        return sorted(self._errors, key=lambda item: item[0])[:MOST]

    def __len__(self) -> int:
        return self._count

    def check(self) -> None:
        """Raise the errors in the order of the file, at most the first ``MOST``.

        Raises:
            DocumentError: there are errors.
        """
        if self._errors:
            first = [error for _, error in self._first()]
            raise DocumentError(first, self._count - len(first))
