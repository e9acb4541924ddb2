"""Dry runs of scripts: the script runs, but its deployments are only recorded."""

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


class StopScript(BaseException):
    """Ends a dry run early. Not an Exception, so that no handler in the script catches it."""


class DryRunController(ExperimentController):
    """An experiment whose deployments are only recorded and whose waits return at once.

    Attributes:
        on_deploy: called with each deployment.
    """

    on_deploy: ClassVar[OnDeploy]

    @cached_property
    def _planner(self) -> Planner:
        return Planner(self._description)

    def plan_deployment(self, guids: list[int], *, together: bool) -> PlannedDeployment:
        """Plan a deployment; see :class:`Planner`."""
        return self._planner.plan(guids, together=together)

    def deploy(
        self, guids: Targets | None = None, wait_all_ready: bool = True, group: int | None = None
    ) -> int | None:
        """Pass the deployment to ``on_deploy``."""
        targets = self.resources if guids is None else self._replica.resolve(guids)
        new = [guid for guid in targets if guid not in self._replica.deployed]
        type(self).on_deploy(self, new, wait_all_ready or group is not None)
        self._replica.deployed.update(new)
        return group or (1 if wait_all_ready else None)

    # -- results, as if everything had succeeded ---------------------------------------------------

    def state(self, guid: Target, hr: bool = False) -> Any:
        """Return STARTED for a deployed host, FINISHED for another deployed resource, else NEW."""
        item = self._description.resource(self.find(guid))
        state = State.STARTED if item.cls.provides_host else State.FINISHED
        if item.guid not in self._replica.deployed:
            state = State.NEW
        return state.name if hr else state

    def trace(self, *args: Any, **options: Any) -> Any:
        """Return an empty output, or 0 for its size."""
        attr = str(options.get("attr") or (args[2] if len(args) > 2 else "all")).lower()
        return 0 if attr.endswith("size") else ""

    def reached(self, *_: Any) -> bool:
        """Return True."""
        return True

    def _at_once(self, *_: Any, **__: Any) -> bool:
        return True

    wait_deployed = wait_started = wait_finished = wait_released = wait = _at_once
    discover = provision = start = stop = release = shutdown = close = _at_once  # type: ignore[assignment]
    start_with_conditions = stop_with_conditions = _at_once  # type: ignore[assignment]
    upload = download = _at_once  # type: ignore[assignment]

    @property
    def run_id(self) -> str:
        """The id of a run that does not exist: 20 zeros."""
        return "0" * 20

    def detach(self) -> str:
        """Return the id of a run that does not exist."""
        return self.run_id

    def schedule(self, *_: Any, **__: Any) -> int:
        """Ignore the call; scheduled calls are not planned."""
        return 0

    def set_with_conditions(self, *_: Any, **__: Any) -> list[int]:
        """Ignore the change; later changes are not planned."""
        return []

    def get_task(self, tid: int) -> Task | None:
        """Return a task that is done."""
        return Task(tid, TaskStatus.DONE, None)

    def logs(self, *_: Any, **__: Any) -> Iterator[Any]:
        """Return an iterator over no lines."""
        return iter(())

    @classmethod
    def attach(cls, run_id: str, **_: Any) -> ExperimentController:
        """Refuse to attach to an existing run, which cannot be planned.

        Raises:
            NotAllowed: always.
        """
        raise NotAllowed(f"the script attaches to run {run_id}, which is not possible in a dry run")


#: Callback for each deployment of a script: the experiment, the guids, whether as one group.
OnDeploy = Callable[[DryRunController, list[int], bool], None]


class _DryRunRunner(runner.ExperimentRunner):
    """A campaign of which only the first run is recorded, since all runs are alike."""

    def run(self, ec: ExperimentController, *_: Any, **__: Any) -> int:
        ec.deploy()
        raise StopScript


def dry_run(file: Path, arguments: list[str], on_deploy: OnDeploy, *, output: bool = False) -> str:
    """Run a script, calling ``on_deploy`` instead of deploying.

    Args:
        file: the script.
        arguments: its arguments.
        on_deploy: called with each deployment; may raise :class:`StopScript`.
        output: print the output of the script on stderr; it is discarded otherwise.

    Returns:
        The error that ended the script early; empty if it ran to its end.

    Raises:
        InvalidValue: the script does not exist, or deploys nothing.
    """
    if not file.is_file():
        raise InvalidValue(f"script not found: {str(file)!r}")
    deployments = 0

    def count(ec: DryRunController, guids: list[int], together: bool) -> None:
        nonlocal deployments
        on_deploy(ec, guids, together)
        deployments += 1

    reason = ""
    try:
        with _replaced_classes(count), _program(file, arguments, output=output):
            runpy.run_path(str(file), run_name="__main__")
    except StopScript:
        return ""
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and not error.code:
            pass
        elif not deployments:
            raise
        else:
            reason = f"{_line(file, error)}{type(error).__name__}: {error}"
    if not deployments:
        raise InvalidValue("the script ended without a deploy()", where=str(file))
    return reason


def _line(file: Path, error: BaseException) -> str:
    """Return the line of the script that an error came from; empty if none."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == file]
    return f"line {lines[-1]}: " if lines else ""


@contextlib.contextmanager
def _replaced_classes(on_deploy: OnDeploy) -> Iterator[None]:
    """Replace the experiment classes of the API by those of dry runs."""
    import nepiq.controller as api

    class Controller(DryRunController):
        pass

    Controller.on_deploy = staticmethod(on_deploy)
    replacements: list[tuple[Any, str, Any]] = [
        (module, "ExperimentController", Controller) for module in (api, controller)
    ]
    replacements += [(module, "ExperimentRunner", _DryRunRunner) for module in (api, runner)]
    originals = [(module, name, getattr(module, name)) for module, name, _ in replacements]
    try:
        for module, name, value in replacements:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in originals:
            setattr(module, name, value)


@contextlib.contextmanager
def _program(file: Path, arguments: list[str], *, output: bool) -> Iterator[None]:
    """Set ``sys.argv`` and ``sys.path`` as ``python SCRIPT`` does; keep stdout for the plan."""
    argv, directory = sys.argv, str(file.resolve().parent)
    sys.argv = [str(file), *arguments]
    sys.path.insert(0, directory)
    try:
        with contextlib.ExitStack() as stack:
            out = sys.stderr if output else stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123
            stack.enter_context(contextlib.redirect_stdout(out))
            yield
    finally:
        sys.argv = argv
        sys.path.remove(directory)
