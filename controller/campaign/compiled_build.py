"""Compiled builds: the arguments of runs whose description a function makes for each point."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from ..engine.store.forms import dumps
from ..engine.store.scripts import Argument
from ..model import HostLease, Pools
from ..model.parameters import OF_RUNS
from .compiled import MOST_BASES, Base, CompiledTemplate
from .template import Template


class Describer(Protocol):
    """What describes runs."""

    @property
    def takes(self) -> frozenset[str]:
        """Those of ``seed`` and ``repetition`` on which the description depends."""


class Runs(Protocol):
    """The descriptions of the runs of a campaign."""

    def load(self) -> Describer:
        """Return what describes them.

        Raises:
            ClassNotImportable: it cannot be imported here.
        """

    def document(self, values: Mapping[str, Any], /) -> Any:
        """Return the description of a run as plain data.

        Args:
            values: the parameters of its point, and its ``seed`` and ``repetition``.

        Raises:
            NepiqError: it cannot be described.
        """


class CompiledBuild:
    """The runs that a function describes, as the engine begins them.

    Safe to use from several threads; the function is called in one at a time, once for all
    repetitions of a point if it takes neither their seed nor their number. In what it describes,
    ``${seed}`` and ``${repetition}`` are places.

    Args:
        runs: the descriptions.
        exp_id, nonce, timeout, hard_release: as of :class:`.CompiledTemplate`.

    Attributes:
        finds_hosts: True, since the hosts of any run may be known only in it.
    """

    finds_hosts = True

    def __init__(
        self,
        runs: Runs,
        exp_id: str,
        nonce: str,
        timeout: float | None = None,
        *,
        hard_release: bool = False,
    ) -> None:
        self._runs = runs
        self._compile = partial(
            CompiledTemplate,
            exp_id=exp_id,
            nonce=nonce,
            timeout=timeout,
            hard_release=hard_release,
        )
        self._lock = threading.Lock()
        self._known: dict[str, CompiledTemplate] = {}

    def load(self) -> None:
        """Import the function.

        Raises:
            ClassNotImportable: it cannot be imported here.
        """
        self._runs.load()

    def arguments(self, point: Mapping[str, Any]) -> Sequence[Argument]:
        """Return the arguments for a run; see :meth:`.CompiledTemplate.arguments`."""
        return self._at(point).arguments(point)

    def placed(
        self, point: Mapping[str, Any], pools: Pools, leases: Mapping[int, HostLease]
    ) -> Sequence[Argument]:
        """Return them for a run that has its hosts; see :meth:`.CompiledTemplate.placed`."""
        return self._at(point).placed(point, pools, leases)

    def base(self, point: Mapping[str, Any]) -> Base:
        """Return the description of a run; see :meth:`.CompiledTemplate.base`."""
        return self._at(point).base(point)

    def _at(self, point: Mapping[str, Any]) -> CompiledTemplate:
        takes = self._runs.load().takes
        key = dumps(
            {name: point[name] for name in sorted(point) if name not in OF_RUNS or name in takes}
        )
        with self._lock:
            found = self._known.pop(key, None)
            if found is None:
                found = self._compile(Template(self._runs.document(point), ()))
                if len(self._known) >= MOST_BASES:
                    del self._known[next(iter(self._known))]
            self._known[key] = found  # behind all others: the first one is forgotten first
        return found
