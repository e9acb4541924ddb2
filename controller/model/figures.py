"""Figures: the results that a resource reads from what its process has written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import FileMissing, HostUnreachable
from .attributes import Attribute, Flag

if TYPE_CHECKING:
    from .host import Context, Exit
    from .resource import ResourceManager

N = TypeVar("N", int, float, str, bool)

#: Bytes of an output that are read from a host at most, its end: a report of iperf3 over an hour
#: with eight streams has about 10 MB, of which the summary is the last few kB.
LAST = 1 << 20


class Figure(Attribute[N | None], Generic[N]):
    """A result of a resource, an attribute that users can only read.

    It is None until its process has ended, and if the outputs do not have it. Each end sets all
    figures, so that none of an earlier start stays. :meth:`ResourceManager.figures` reads them.

    Attributes:
        unit: its unit, such as ``ms``; empty for a count or a text.

    Example:
        ``rtt = Figure(float, unit="ms", help="Mean round-trip time.")``
    """

    __slots__ = ("unit",)

    def __init__(
        self,
        type: type[N],  # noqa: A002 - reads as the declaration it is
        *,
        unit: str = "",
        help: str,  # noqa: A002
    ) -> None:
        super().__init__(type, help=help, flags=Flag.NO_WRITE)  # type: ignore[arg-type]
        self.default = None
        self.unit = unit


class Outputs:
    """The outputs of a process that has ended.

    Small outputs travel with the exit. Others are read from the host when they are used.

    Attributes:
        exit: the exit.
    """

    def __init__(self, exit: Exit, read: Callable[[str, int], bytes]) -> None:  # noqa: A002
        """Set the exit, and the function that reads the last bytes of a file on the host.

        Args:
            exit: the exit.
            read: called with a path and a number of bytes; it may raise FileMissing.
        """
        self.exit = exit
        self._read = read

    def read(self, path: str = "stdout", *, last: int = LAST) -> bytes:
        """Return the end of a file in the run directory; no bytes if there is no such file.

        Args:
            path: the file.
            last: number of bytes; the whole file if it has fewer.

        Raises:
            HostUnreachable: it is on the host, which does not answer.
        """
        if path in self.exit.outputs:
            return self.exit.outputs[path][-last:]
        try:
            return self._read(path, last)
        except FileMissing:
            return b""

    def text(self, path: str = "stdout", *, last: int = LAST) -> str:
        """Return :meth:`read`, decoded as UTF-8; invalid bytes are replaced."""
        return self.read(path, last=last).decode("utf-8", "replace")


def measure(rm: ResourceManager, outputs: Outputs) -> dict[str, Any]:
    """Return the stored values of all figures of a resource whose process has ended.

    Raises:
        TypeError: the class returned a name that is not one of its figures.
        InvalidValue: a value is not of the kind of its figure.
        Exception: whatever the class raises.
    """
    figures = rm.figures(outputs)
    unknown = set(figures) - set(rm.measured)
    if unknown:
        raise TypeError(
            f"{type(rm).__name__}.figures returned {', '.join(sorted(unknown))}, "
            "which it does not declare as Figure"
        )
    return {name: rm.attributes[name].check(figures.get(name), rm.rtype) for name in rm.measured}


def take(rm: ResourceManager, exit: Exit, context: Context) -> None:  # noqa: A002
    """Assign the figures of a process that has ended during a step.

    A failure of the class to read them is logged as a warning: the end of the process counts.

    Raises:
        HostUnreachable: the outputs are on the host, which does not answer.
    """
    outputs = Outputs(exit, lambda path, last: context.host.read(path, offset=-last))
    try:
        for name, value in measure(rm, outputs).items():
            rm.assign(name, value)
    except HostUnreachable:
        raise
    except Exception as error:  # noqa: BLE001 - a class may raise anything
        context.log.warning("%s", warning(rm, error))


def warning(rm: ResourceManager, error: BaseException) -> str:
    """Return the text that warns of figures which could not be read."""
    return f"the figures of {rm.label} cannot be read: {type(error).__name__}: {error}"
