"""When a campaign begins another run of its experiment, and when it has enough of them."""

from __future__ import annotations

import logging
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import CampaignError, InvalidValue
from ..errors.text import quoted
from . import statistics as statistic

if TYPE_CHECKING:
    from ..experiment.controller import ExperimentController

    MetricCallback = Callable[[ExperimentController, int], float | None]
    ConvergenceCallback = Callable[[ExperimentController, int, list[float]], bool]

log = logging.getLogger("nepiq.campaign")


@dataclass(frozen=True)
class Rules:
    """What a campaign measures, when it begins another run, and when it stops.

    Attributes:
        min_runs: at least so many runs finish.
        max_runs: never begin more; None for no limit.
        metric: measures a run that has ended; None for no measurement.
        convergence: says whether the samples suffice; None for the rule of :mod:`.samples`.
        parallel: so many runs at a time.
        stop_at_failure: begin none after one that failed.
    """

    min_runs: int
    max_runs: int | None
    metric: MetricCallback | None
    convergence: ConvergenceCallback | None
    parallel: int
    stop_at_failure: bool

    @classmethod
    def of(
        cls,
        min_runs: int,
        max_runs: int | None,
        metric: MetricCallback | None,
        convergence: ConvergenceCallback | None,
        parallel: int,
        on_failure: str,
    ) -> Rules:
        """The rules that a user gave; see :meth:`ExperimentRunner.run`.

        Raises:
            InvalidValue: a number is not possible, or ``on_failure`` is another word.
            CampaignError: nothing would ever stop it.
        """
        if on_failure not in ("stop", "continue"):
            raise InvalidValue(
                f"on_failure cannot be {quoted(on_failure)}", hint="'stop' or 'continue'"
            )
        most = None if max_runs is None or max_runs < 0 else max_runs
        made = cls(min_runs, most, metric, convergence, parallel, on_failure == "stop")
        made._check()
        return made

    def _check(self) -> None:
        given: dict[str, Any] = {"min_runs": self.min_runs, "parallel": self.parallel}
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidValue(f"{name} cannot be {quoted(value)}", hint="from 1 on")
        if self.max_runs is not None:
            if self.max_runs < self.min_runs:
                raise InvalidValue(
                    f"max_runs cannot be {self.max_runs} with min_runs {self.min_runs}"
                )
        elif self.metric is None:
            raise CampaignError(
                "it would never stop: there is neither max_runs nor a metric that could converge",
                hint="give max_runs= or compute_metric_callback=",
            )
        elif not self.stop_at_failure:
            raise CampaignError(
                "it would never stop if each run failed",
                hint="give max_runs= too, or leave out on_failure='continue'",
            )

    def measured(self, ec: ExperimentController, run: int) -> float | None:
        """What a run has measured; None if it is no sample.

        Raises:
            InvalidValue: the callback returned something that is no number.
        """
        return None if self.metric is None else _sample(self.metric(ec, run), run)

    def converged(self, ec: ExperimentController, run: int, samples: list[float]) -> bool:
        """True if the samples suffice."""
        if self.convergence is not None:
            return bool(self.convergence(ec, run, samples))
        return statistic.converged(samples)


def _sample(metric: Any, number: int) -> float | None:
    """What a callback has measured, as a plain number.

    Raises:
        InvalidValue: it is no number.
    """
    if metric is None:
        return None
    if not isinstance(metric, numbers.Real):
        raise InvalidValue(
            f"the metric of run {number} cannot be {quoted(metric)}", hint="return a number or None"
        )
    plain = int(metric) if isinstance(metric, numbers.Integral) else float(metric)
    if not math.isfinite(plain):
        log.warning("run %d is no sample: its metric is %s", number, plain)
        return None
    return plain
