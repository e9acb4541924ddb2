"""Parameters: places in a description that the points of a campaign fill."""

from __future__ import annotations

import keyword
import re
from typing import Any

from ..errors import InvalidValue
from ..errors.text import quoted

#: Names that a run has beside its parameters, and the first argument of ``build``.
RESERVED = {
    "ec": "choose another name",
    "seed": "each run has a seed; set repetitions for several",
    "repetition": "set repetitions of the campaign",
}
#: The reserved names that a description may use.
OF_RUNS = ("seed", "repetition")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
#: A place in a text.
PLACE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)


def check_parameter(name: object) -> str:
    """Return the name of a parameter.

    Raises:
        InvalidValue: it is not an identifier, or is reserved.
    """
    _check_identifier(name)
    if name in RESERVED:
        raise InvalidValue(f"{quoted(name)} cannot be a parameter", hint=RESERVED[str(name)])
    return str(name)


def _check_identifier(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InvalidValue(
            f"{quoted(name)} cannot be the name of a parameter",
            hint="use letters, digits and underscores",
        )


class Parameter(str):
    """The value of an attribute that each point of a campaign fills, ``${rate}`` as text.

    It is accepted for attributes of all kinds and replaced by the value itself. In a longer text,
    as ``f"iperf3 -b {Parameter('rate')}M"``, the value becomes a part of the text. An attribute
    that is not plain text takes ``Parameter("delay") + "ms"`` instead. A description with
    parameters cannot be deployed itself.

    Args:
        name: the parameter, or ``seed`` or ``repetition`` for those of the run.

    Raises:
        InvalidValue: the name is not an identifier.
    """

    __slots__ = ()

    def __new__(cls, name: str) -> Parameter:
        """Return the place of a parameter."""
        _check_identifier(name)
        return cls._of_text(f"${{{name}}}")

    @classmethod
    def _of_text(cls, text: str) -> Parameter:
        return super().__new__(cls, text)

    def __add__(self, text: str) -> Parameter:
        return self._of_text(str(self) + text)

    def __radd__(self, text: str) -> Parameter:
        return self._of_text(text + str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return self._of_text, (str(self),)
