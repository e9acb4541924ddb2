"""Where things stand in a file, and what was found to be wrong there."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import DocumentError, NepiqError
from ...errors.text import one_line

#: Keys and positions that lead from the top of a document to something in it.
Path = tuple[str | int, ...]
#: Line and column, counted from 1.
Mark = tuple[int, int]


class Places:
    """Lines and columns of everything in one file.

    Attributes:
        name: the file, for errors.
        keys: where the key of an entry stands.
        values: where its value stands.
    """

    def __init__(self, name: str) -> None:
        self.name = one_line(name)
        self.keys: dict[Path, Mark] = {}
        self.values: dict[Path, Mark] = {}

    def find(self, path: Path, *, key: bool = False) -> Mark | None:
        """Where something stands, or else what it is in.

        Args:
            path: what it is.
            key: True for its key, False for its value.
        """
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        for way in _spellings(path):
            found = first.get(way) or second.get(way)
            if found is not None:
                return found
        for length in range(len(path) - 1, -1, -1):
            for way in _spellings(path[:length]):
                found = self.keys.get(way) or self.values.get(way)
                if found is not None:
                    return found
        return None


def _spellings(path: Path) -> Iterator[Path]:
    """A path as it is, and with each list of one written as that one."""
    yield path
    if 0 in path:
        yield tuple(step for step in path if step != 0)


#: At most so many errors of a file are told, and so many warnings.
MOST = 20


class Findings:
    """What is wrong in a file, gathered so that it can be told at once.

    Args:
        places: where things stand in it.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self._count = 0
        self._found: list[tuple[Mark, NepiqError]] = []

    def add(self, error: NepiqError, path: Path = (), *, key: bool = False) -> None:
        """Note an error at the place of something."""
        self.add_at(error, self.places.find(path, key=key))

    def add_at(self, error: NepiqError, mark: Mark | None) -> None:
        """Note an error at a line and column; the first if it concerns the whole file."""
        line, column = mark or (1, 1)
        error.where = f"{self.places.name}:{line}:{column}"
        self._count += 1
        self._found.append(((line, column), error))
        if len(self._found) > 50 * MOST:
            self._found = self._first()

    def _first(self) -> list[tuple[Mark, NepiqError]]:
        return sorted(self._found, key=lambda item: item[0])[:MOST]

    def __len__(self) -> int:
        return self._count

    def tell(self) -> None:
        """Raise what was found, in the order of the file; of very much the first only.

        Raises:
            DocumentError: there is something.
        """
        if self._found:
            first = [error for _, error in self._first()]
            raise DocumentError(first, self._count - len(first))
