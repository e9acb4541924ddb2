"""Metrics of a worker, served to Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial

from ...controller import errors
from ...controller.engine.store.calls import Claim
from ...controller.settings import endpoint, shown_endpoint
from .context import Runtime
from .metrics import ACTIONS, DURATION, LATENESS, OUTCOMES, Metrics


class PrometheusMetrics(Metrics):
    """Metrics served at ``http://ADDRESS/metrics``.

    Args:
        runtime: of the worker; its present values are read at each scrape.

    Attributes:
        url: of the metrics.

    Raises:
        InfrastructureError: the address cannot be listened on.
        InvalidValue: it is not an address.
    """

    def __init__(self, runtime: Runtime) -> None:
        import prometheus_client as client

        client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = client.CollectorRegistry()
        client.ProcessCollector(registry=registry)
        self._steps = client.Counter(
            "nepiq_steps",
            "Attempts of steps that ended, by action and outcome.",
            ["action", "outcome"],
            registry=registry,
        )
        self._lateness = client.Histogram(
            "nepiq_step_lateness_seconds",
            "Time between the moment a step was due and its claim, by Redis' clock.",
            buckets=LATENESS,
            registry=registry,
        )
        self._duration = client.Histogram(
            "nepiq_step_duration_seconds",
            "Time between the claim of a step and the end of the attempt.",
            ["action"],
            buckets=DURATION,
            registry=registry,
        )
        self._renewed = client.Counter(
            "nepiq_leases_renewed", "Leases of steps that were renewed.", registry=registry
        )
        self._lost = client.Counter(
            "nepiq_leases_lost", "Leases of steps found lost when renewed.", registry=registry
        )
        self._transfers = client.Gauge(
            "nepiq_transfers",
            "Files and logs on their way through this worker.",
            ["kind"],
            registry=registry,
        )
        # A series that appears with its first event has no increase that an alert could see.
        for action in ACTIONS:
            self._duration.labels(action)
            for outcome in OUTCOMES:
                self._steps.labels(action, outcome)
        for kind in ("fetch", "gather", "place", "follow"):
            self._transfers.labels(kind)
        self._gauge(
            "nepiq_worker_slots",
            "Steps that this worker carries out at once.",
            lambda: runtime.slots,
        )
        self._add_gauges(runtime)
        self._listen(runtime.settings.metrics)

    def _add_gauges(self, runtime: Runtime) -> None:
        """Add the metrics that are read at each scrape."""
        self._gauge(
            "nepiq_steps_executing", "Steps under a lease now.", runtime.lease_renewer.count
        )
        self._gauge(
            "nepiq_journals_followed",
            "Nodes whose exit journals this worker follows.",
            lambda: runtime.watcher.followed if runtime.watcher else 0,
        )
        self._gauge(
            "nepiq_clock_ahead_seconds",
            "How far this machine's clock is ahead of Redis', at the last heartbeat.",
            lambda: runtime.ahead,
        )
        self._gauge_of_states(
            "nepiq_hosts",
            "Hosts by state of the connection: open, silent, lost.",
            runtime.sessions.standings,
            ("open", "silent", "lost"),
        )

    def _gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        from prometheus_client import Gauge

        Gauge(name, text, registry=self._registry).set_function(value)

    def _gauge_of_states(
        self,
        name: str,
        text: str,
        values: Callable[[], Mapping[str, float]],
        states: Iterable[str],
    ) -> None:
        from prometheus_client import Gauge

        gauge = Gauge(name, text, ["state"], registry=self._registry)
        for state in states:
            gauge.labels(state).set_function(partial(_value_of, values, state))

    def _listen(self, address: str) -> None:
        from prometheus_client import start_http_server

        host, port = endpoint("NEPIQ_METRICS", address)
        try:
            self._server, self._thread = start_http_server(port, host, self._registry)
        except OSError as error:
            raise errors.InfrastructureError(
                f"metrics cannot be served at {address}: {error.strerror or error}",
                hint="each worker of a machine needs a port of its own; port 0 takes a free one",
            ) from error
        self.url = f"http://{shown_endpoint(host, self._server.server_port)}/metrics"

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Observe the lateness of the claims."""
        for claim in claims:
            self._lateness.observe(claim.late)

    def ended(self, action: str, outcome: str, seconds: float) -> None:
        """Count the attempt and observe its duration."""
        self._steps.labels(action, outcome).inc()
        self._duration.labels(action).observe(seconds)

    def renewed(self, answers: Iterable[str]) -> None:
        """Count the renewals."""
        for answer in answers:
            (self._lost if answer == "lost" else self._renewed).inc()

    def transfer(self, kind: str) -> AbstractContextManager[object]:
        """Count the transfer while the block runs."""
        return self._transfers.labels(kind).track_inprogress()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _value_of(values: Callable[[], Mapping[str, float]], name: str) -> float:
    return values().get(name, 0)
