"""The rules by which a campaign begins another run or stops."""

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
class StoppingRules:
    """The metric of a campaign, its limits, and its criterion of convergence.

    Attributes:
        min_runs: minimum number of finished runs.
        max_runs: maximum number of runs; None for no limit.
        metric: function that measures an ended run; None for no measurement.
        convergence: function that returns whether the samples suffice; None for the rule of
            :mod:`.statistics`.
        parallel: number of runs at the same time.
        stop_at_failure: begin no run after a failed one.
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
    ) -> StoppingRules:
        """Return rules from the arguments of :meth:`ExperimentRunner.run`.

        Raises:
            InvalidValue: a number or ``on_failure`` is invalid.
            CampaignError: the campaign would never stop.
        """
        if on_failure not in ("stop", "continue"):
            raise InvalidValue(
                f"on_failure cannot be {quoted(on_failure)}", hint="choose 'stop' or 'continue'"
            )
        limit = None if max_runs is None or max_runs < 0 else max_runs
        rules = cls(min_runs, limit, metric, convergence, parallel, on_failure == "stop")
        rules._check()
        return rules

    def _check(self) -> None:
        counts: dict[str, Any] = {"min_runs": self.min_runs, "parallel": self.parallel}
        for name, value in counts.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidValue(f"{name} cannot be {quoted(value)}", hint="choose 1 or more")
        if self.max_runs is not None:
            if self.max_runs < self.min_runs:
                raise InvalidValue(
                    f"max_runs cannot be {self.max_runs} with min_runs {self.min_runs}"
                )
        elif self.metric is None:
            raise CampaignError(
                "the campaign would never stop: neither max_runs nor a metric to converge is set",
                hint="set max_runs= or compute_metric_callback=",
            )
        elif not self.stop_at_failure:
            raise CampaignError(
                "the campaign would never stop if each run failed",
                hint="set max_runs= too, or remove on_failure='continue'",
            )

    def measure(self, ec: ExperimentController, run: int) -> float | None:
        """Return the measured value of a run; None if it is not a sample.

        Raises:
            InvalidValue: the callback returned neither a number nor None.
        """
        return None if self.metric is None else _sample(self.metric(ec, run), run)

    def converged(self, ec: ExperimentController, run: int, samples: list[float]) -> bool:
        """Return whether the samples suffice."""
        if self.convergence is not None:
            return bool(self.convergence(ec, run, samples))
        return statistic.converged(samples)


def _sample(metric: Any, number: int) -> float | None:
    """Return the value of a callback as a plain number.

    Raises:
        InvalidValue: it is not a number.
    """
    if metric is None:
        return None
    if not isinstance(metric, numbers.Real):
        raise InvalidValue(
            f"the metric of run {number} cannot be {quoted(metric)}", hint="return a number or None"
        )
    plain = int(metric) if isinstance(metric, numbers.Integral) else float(metric)
    if not math.isfinite(plain):
        log.warning("run %d is not a sample: its metric is %s", number, plain)
        return None
    return plain
