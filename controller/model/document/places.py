"""Where things stand in a file, and what was found to be wrong there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...errors import DocumentError, NepiqError

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
        self.name = name
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

    def rename(self, names: Mapping[str, str]) -> None:
        """Take other names for some steps of paths."""
        for table in (self.keys, self.values):
            for path in list(table):
                if not names.keys().isdisjoint(path):
                    way = tuple(
                        names.get(step, step) if isinstance(step, str) else step for step in path
                    )
                    table.setdefault(way, table[path])


def _spellings(path: Path) -> Iterator[Path]:
    """A path as it is, and with each list of one written as that one."""
    yield path
    if 0 in path:
        yield tuple(step for step in path if step != 0)


class Findings:
    """What is wrong in a file, gathered so that it can be told at once.

    Args:
        places: where things stand in it.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self._found: list[tuple[Mark, NepiqError]] = []

    def add(self, error: NepiqError, path: Path = (), *, key: bool = False) -> None:
        """Note an error at the place of something."""
        self.add_at(error, self.places.find(path, key=key))

    def add_at(self, error: NepiqError, mark: Mark | None) -> None:
        """Note an error at a line and column, or one that concerns the whole file."""
        line, column = mark or (0, 0)
        error.where = f"{self.places.name}:{line}:{column}" if mark else self.places.name
        self._found.append(((line, column), error))

    def take(self, other: Findings) -> None:
        """Take over what was found in the same file."""
        self._found += other._found

    def __len__(self) -> int:
        return len(self._found)

    def tell(self) -> None:
        """Raise what was found, in the order of the file.

        Raises:
            DocumentError: there is something.
        """
        if self._found:
            ordered = sorted(self._found, key=lambda item: item[0])
            raise DocumentError(error for _, error in ordered)
