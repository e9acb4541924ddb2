"""Paths on a host, quoted for its shell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from shlex import quote

from ...controller.errors import InvalidValue

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)

#: What the supervisor keeps in a run directory; listings leave it out.
OWN = frozenset(
    {
        ".command",
        ".env",
        ".exit",
        ".expired",
        ".group",
        ".lock",
        ".overdue",
        ".restarts",
        ".serving",
        ".signal",
        ".started",
        ".stdin",
        ".stop",
        ".sudo",
        ".timer",
        ".told",
        ".waiting",
    }
)


@dataclass(frozen=True)
class Layout:
    """The directories of one node of one run on its host.

    Attributes:
        run: the run's id. It may not end in a dot and digits, nor be ``ended``: the names made
            from it could then be those of another run.
        node: guid of the node. With a home that hosts share, each still has its own directory.
        home: absolute directory under which ``.nepiq`` lies; the login home if empty.
    """

    run: str
    node: int
    home: str = ""

    def __post_init__(self) -> None:
        """Refuse names that would not be safe or not be unique.

        Raises:
            InvalidValue: one of them is not.
        """
        if not names_a_run(self.run):
            raise InvalidValue(f"{self.run!r} cannot name a run on a host")
        if self.home and not self.home.startswith("/"):
            raise InvalidValue(f"home {self.home!r} is not an absolute path")

    @property
    def base(self) -> str:
        """The directory of nepiq, quoted for a shell."""
        return quote(f"{self.home.rstrip('/')}/.nepiq") if self.home else '"$HOME"/.nepiq'

    @property
    def root(self) -> str:
        """The node's directory, quoted for a shell."""
        return f"{self.base}/{self.run}/{self.node}"

    @property
    def entry(self) -> str:
        """Shell that goes to the node's directory; false if that or its supervisor is not there."""
        return f"cd {self.root} 2>/dev/null && [ -f supervisor.sh ] && [ -r supervisor.sh ]"

    def run_dir(self, guid: int, occasion: int) -> str:
        """The run directory of one start of one resource, quoted for a shell."""
        return f"{self.root}/{guid}/{occasion}"


def names_a_run(text: str) -> bool:
    """True if a run on a host may be called that; see :class:`Layout`."""
    return bool(_RUN.fullmatch(text)) and not re.search(r"\.\d+$", text) and text != "ended"


def is_own(name: str) -> bool:
    """True for a file that the supervisor keeps in a run directory, or one on its way there."""
    return name.removesuffix(".t") in OWN or (name.startswith(".nepiq.") and name.endswith(".part"))
