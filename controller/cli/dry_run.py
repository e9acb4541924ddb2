"""Scripts that are carried out without an experiment: everything they would deploy is noted."""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ..campaign import runner
from ..description.roster import Target, Targets
from ..errors import InvalidValue, NotAllowed
from ..experiment import controller
from ..experiment.controller import ExperimentController
from ..experiment.schedule import Task, TaskStatus
from ..model.lifecycle import State
from ..reports.plan.planner import PlannedDeployment, Planner


class Ended(BaseException):
    """A script cannot or need not go on. No ``except Exception`` of it must catch this."""


class Rehearsed(ExperimentController):
    """An experiment whose deployments are only noted, and whose waits are over at once.

    Attributes:
        taker: who takes notes.
    """

    taker: ClassVar[Taker]

    @cached_property
    def _planner(self) -> Planner:
        return Planner(self._description)

    def planned(self, guids: list[int], *, together: bool) -> PlannedDeployment:
        """What a deployment would do; see :class:`Planner`."""
        return self._planner.plan(guids, together=together)

    def deploy(
        self, guids: Targets | None = None, wait_all_ready: bool = True, group: int | None = None
    ) -> int | None:
        """Have the deployment noted."""
        wanted = self.resources if guids is None else self._replica.resolve(guids)
        chosen = [guid for guid in wanted if guid not in self._replica.deployed]
        type(self).taker(self, chosen, wait_all_ready or group is not None)
        self._replica.deployed.update(chosen)
        return group or (1 if wait_all_ready else None)

    # -- what would happen has happened -----------------------------------------------------------

    def state(self, guid: Target, hr: bool = False) -> Any:
        """As if all had gone well: hosts STARTED, all else FINISHED."""
        item = self._description.resource(self.find(guid))
        state = State.STARTED if item.cls.provides_host else State.FINISHED
        if item.guid not in self._replica.deployed:
            state = State.NEW
        return state.name if hr else state

    def trace(self, *args: Any, **options: Any) -> Any:
        """Nothing was written."""
        attr = str(options.get("attr") or (args[2] if len(args) > 2 else "all")).lower()
        return 0 if attr.endswith("size") else ""

    def reached(self, *_: Any) -> bool:
        """As if it had."""
        return True

    def _at_once(self, *_: Any, **__: Any) -> bool:
        return True

    wait_deployed = wait_started = wait_finished = wait_released = wait = _at_once
    discover = provision = start = stop = release = shutdown = close = _at_once  # type: ignore[assignment]
    start_with_conditions = stop_with_conditions = _at_once  # type: ignore[assignment]
    upload = download = _at_once  # type: ignore[assignment]

    def detach(self) -> str:
        """There is no run to leave."""
        return self.run_id

    def schedule(self, *_: Any, **__: Any) -> int:
        """Calls are not planned."""
        return 0

    def set_with_conditions(self, *_: Any, **__: Any) -> list[int]:
        """Later changes are not planned."""
        return []

    def get_task(self, tid: int) -> Task | None:
        """As if it had been called."""
        return Task(tid, TaskStatus.DONE, None)

    def logs(self, *_: Any, **__: Any) -> Iterator[Any]:
        """Nothing was written."""
        return iter(())

    @classmethod
    def attach(cls, run_id: str, **_: Any) -> ExperimentController:
        """A run that exists is no plan.

        Raises:
            NotAllowed: always.
        """
        raise NotAllowed(f"the script attaches to run {run_id}, which cannot be rehearsed")


#: Called with each deployment of a script: the experiment, the guids, whether as one group.
Taker = Callable[[Rehearsed, list[int], bool], None]


class _RehearsedRunner(runner.ExperimentRunner):
    """Many runs of one experiment: all are alike, so one is noted."""

    def run(self, ec: ExperimentController, *_: Any, **__: Any) -> int:
        ec.deploy()
        raise Ended


def rehearse(file: Path, arguments: list[str], taker: Taker, *, say: bool = False) -> str:
    """Carry a script out with a taker in place of all that it deploys.

    Args:
        file: the script.
        arguments: what it is given.
        taker: who takes notes; may raise :class:`Ended`.
        say: let it print on stderr, else nowhere.

    Returns:
        Why it did not go on to its end; empty if it did.

    Raises:
        InvalidValue: there is no such script, or it deploys nothing.
    """
    if not file.is_file():
        raise InvalidValue(f"there is no script {str(file)!r}")
    noted = 0

    def note(ec: Rehearsed, guids: list[int], together: bool) -> None:
        nonlocal noted
        taker(ec, guids, together)
        noted += 1

    why = ""
    try:
        with _in_place_of_experiments(note), _as_program(file, arguments, say=say):
            runpy.run_path(str(file), run_name="__main__")
    except Ended:
        return ""
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and not error.code:
            pass
        elif not noted:
            raise
        else:
            why = f"{_line(file, error)}{type(error).__name__}: {error}"
    if not noted:
        raise InvalidValue("it ended without a deploy()", where=str(file))
    return why


def _line(file: Path, error: BaseException) -> str:
    """Where in the script an error came from."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == file]
    return f"line {lines[-1]}: " if lines else ""


@contextlib.contextmanager
def _in_place_of_experiments(taker: Taker) -> Iterator[None]:
    """Let scripts find rehearsed classes where they look for the real ones."""
    import nepiq.controller as api

    class Noting(Rehearsed):
        pass

    Noting.taker = staticmethod(taker)
    places: list[tuple[Any, str, Any]] = [
        (module, "ExperimentController", Noting) for module in (api, controller)
    ]
    places += [(module, "ExperimentRunner", _RehearsedRunner) for module in (api, runner)]
    kept = [(module, name, getattr(module, name)) for module, name, _ in places]
    try:
        for module, name, value in places:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


@contextlib.contextmanager
def _as_program(file: Path, arguments: list[str], *, say: bool) -> Iterator[None]:
    """As ``python SCRIPT`` sets things up, but for what it prints: stdout is for the plan."""
    kept, first = sys.argv, str(file.resolve().parent)
    sys.argv = [str(file), *arguments]
    sys.path.insert(0, first)
    try:
        with contextlib.ExitStack() as stack:
            out = sys.stderr if say else stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123
            stack.enter_context(contextlib.redirect_stdout(out))
            yield
    finally:
        sys.argv = kept
        sys.path.remove(first)
