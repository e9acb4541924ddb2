"""Refusals: the errors for what the scripts of a run do not accept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .. import errors
from ..errors.text import quoted


def unknown_run(run_id: str, phase: str) -> errors.UnknownRun:
    """Return the error for a run that Redis does not have.

    Args:
        run_id: the run.
        phase: the last phase of the run that this process has read; empty if it has read none.
    """
    if not phase:
        return errors.UnknownRun(f"no run {quoted(run_id)}", hint="nepiq ls lists the runs")
    if phase in ("RELEASED", "EXPIRED"):
        return errors.UnknownRun(f"run {run_id} was released, and its records are deleted by now")
    return errors.RunLost(
        f"run {run_id} is not in Redis any more: Redis was emptied, or came back without its data",
        hint="workers clean its hosts; nepiq doctor lists those that they cannot clean",
    )


def error(
    run_id: str, status: str, detail: str, known: Callable[[], Iterable[object]]
) -> errors.NepiqError:
    """Return the error for the status of a script that is neither OK nor GONE.

    Args:
        run_id: the run.
        status: the status.
        detail: its second part: a state, a guid, or empty.
        known: returns the guids of the run, for one that is unknown.
    """
    where = f"run {run_id}"
    if status == "TOOLATE":
        return errors.TooLate(
            f"the step is {detail} already, so a condition on it comes too late", where=where
        )
    if status == "CLOSED":
        return errors.ExperimentFailed(
            f"the run is {detail or 'over'}, so nothing new is deployed or started",
            where=where,
            hint=f"nepiq status {run_id} shows why",
        )
    if status == "ILLEGAL":
        return errors.NotAllowed(f"not possible in state {detail}", where=where)
    if status == "UNKNOWN":
        return errors.UnknownResource(detail, known(), where=where)
    if status == "CLASH":
        return errors.InvalidValue(
            f"guid {detail} was registered by another client",
            where=where,
            hint="let nepiq choose the guids",
        )
    return errors.NepiqError(f"unexpected reply {status} {detail}", where=where)
