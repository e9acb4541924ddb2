"""The face that users script against: an experiment, from its description to its release."""

from __future__ import annotations

import enum
import logging
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..description.description import Description
from ..description.roster import Target, Targets
from ..engine.redis_errors import contact
from ..errors import InvalidValue, NepiqError, NotAllowed
from ..model import registry
from ..model.durations import seconds
from ..model.lifecycle import State
from ..settings import Settings
from . import ownership
from .awaiting import Awaiting
from .inspecting import Inspecting
from .repeating import Repeating
from .session import Live
from .showing import Showing
from .storing import Storing

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..description.topology.options import TopologyOptions
    from ..engine import RunInfo
    from ..reports.failures import Failure
    from .repeating import EdgeCallback, NodeCallback

log = logging.getLogger("nepiq.experiment")

#: Seconds that the end of a script waits for its run to be released; the workers go on.
EXIT_SECONDS = 60.0


class ECState(enum.IntEnum):
    """Where an experiment is, with NEPI's numbers."""

    #: It is described, or runs.
    RUNNING = 1
    #: A critical resource failed.
    FAILED = 2
    #: Everything has been released.
    RELEASED = 3
    #: :meth:`ExperimentController.shutdown` was called.
    TERMINATED = 4


class ExperimentController(Awaiting, Showing, Inspecting, Storing, Repeating):
    """An experiment: resources, what connects them, what waits for what, and its one run.

    Everything lives in this process until the first :meth:`deploy`, which writes it into Redis;
    from then on workers carry it out. The process that created the run releases it when it
    ends, unless :meth:`detach` was called.

    Threads may share an experiment: each method may be called from any of them at any time, and
    one that waits keeps no other from going on. In the child of a fork it is another client of
    the same run, as after :meth:`attach`; the run stays its parent's.

    Args:
        exp_id: name of the experiment, the same for all its runs; made up if not given.
        local_dir: the directory on this machine for what runs leave (see :attr:`run_dir`).
        persist: save the description into :attr:`run_dir` when the run is released.
        fm: NEPI's, for a failure manager; there are none.
        release_after: release the run when no client was seen for so long (``"10m"`` or
            seconds); by default it then stays as it is.
        settings: where Redis is; by default what the environment says, else a private one.
        broker_url: Redis for the messages to workers; instead of ``settings``.
        state_url: Redis for the state of runs; by default that of ``broker_url``.
        quiet: say nothing on stderr, neither of a failure nor of the release at exit.
        add_node_callback: called with the experiment and each node of the topology.
        add_edge_callback: called with the experiment and both ends of each link of it.
        netgraph: the topology (``topology=``, or ``topo_type=`` and ``node_count=``...), see
            :class:`.TopologyOptions`; kept as :attr:`netgraph`.

    Raises:
        InvalidValue: ``exp_id`` cannot be used in paths, or a setting has a wrong value.
        DescriptionError: networkx is not installed, and there is a topology.

    Example:
        ::

            with ExperimentController("hello") as ec:
                node = ec.register_resource("linux::Node", hostname="localhost")
                app = ec.register_resource("linux::Application", command="echo hi")
                ec.register_connection(app, node)
                ec.deploy()
                ec.wait_finished(app)
                print(ec.trace(app, "stdout"))
    """

    def __init__(  # noqa: PLR0913 - NEPI's signature, and ours
        self,
        exp_id: str | None = None,
        local_dir: str | os.PathLike[str] | None = None,
        persist: bool = False,
        fm: None = None,
        add_node_callback: NodeCallback | None = None,
        add_edge_callback: EdgeCallback | None = None,
        *,
        release_after: str | float | None = None,
        settings: Settings | None = None,
        broker_url: str = "",
        state_url: str = "",
        quiet: bool = False,
        **netgraph: Unpack[TopologyOptions],
    ) -> None:
        if fm is not None:
            raise InvalidValue(
                "there are no failure managers",
                hint="critical=False lets an experiment go on; ec.failures has what failed",
            )
        settings = settings or Settings.from_environment()
        if broker_url or state_url:
            settings = replace(
                settings, broker_url=broker_url or state_url, state_url=state_url or broker_url
            )
        # The types that workers know because they are listed are known here too.
        registry.load_imports(settings.imports)
        description = Description(exp_id or f"exp-{secrets.token_hex(8)}")
        patience = None if release_after is None else seconds(release_after)
        super().__init__(description, Live(description, settings, patience, self._hold))
        self._quiet = quiet
        self._local_dir = None if local_dir is None else Path(local_dir).absolute()
        self._persist = persist
        self._released = False
        self._terminated = False
        self._lay_out(netgraph, add_node_callback, add_edge_callback)

    # -- carrying out ---------------------------------------------------------------------------

    def deploy(
        self,
        guids: Targets | None = None,
        wait_all_ready: bool = True,
        group: int | None = None,
    ) -> int | None:
        """Have resources deployed and started; return without waiting for that.

        Args:
            guids: which; all that were not deployed yet by default.
            wait_all_ready: start them together, when all of them are READY; else each as soon
                as it is.
            group: join the group of an earlier deploy().

        Returns:
            The group, or None if there is none.

        Raises:
            InvalidValue: something required is missing.
            ConditionCycle: conditions wait for each other.
            RedisUnreachable, EmbeddedError: there is no Redis to work with.
            NoWorker: nobody serves a site that they need.
            ExperimentFailed: the run has failed or is over.
        """
        wanted = self.resources if guids is None else self._resolve(guids)
        chosen = [guid for guid in wanted if guid not in self._live.deployed]
        if not chosen:
            return group
        group = self._live.deploy(chosen, group or ("new" if wait_all_ready else None))
        self._begin_calls()
        return group

    def discover(self, guid: Target) -> None:
        """Find what a resource will use, without deploying it; return when it is DISCOVERED.

        A later :meth:`deploy` goes on from there.

        Raises:
            NotAllowed: it is deployed already, or what it is connected with is not READY yet.
            NepiqError: what the resource raised; it has FAILED.
        """
        self._live.act_early(self.find(guid), "discover")

    def provision(self, guid: Target) -> None:
        """Make a resource exist, without deploying it; as :meth:`discover`, to PROVISIONED."""
        self._live.act_early(self.find(guid), "provision")

    def start(self, guid: Target) -> None:
        """Start a resource now, or again after it has ended; return when it is STARTED.

        Raises:
            NotAllowed: its state does not allow it.
            NepiqError: what the resource raised.
        """
        self._live.act(self.find(guid), "start")

    def stop(self, guid: Target) -> None:
        """Stop a resource; return when it is STOPPED.

        Raises:
            NotAllowed: its state does not allow it.
            NepiqError: what the resource raised.
        """
        self._live.act(self.find(guid), "stop")

    # -- waiting --------------------------------------------------------------------------------

    # -- looking --------------------------------------------------------------------------------

    @property
    def exp_id(self) -> str:
        """The name of the experiment."""
        return self._description.exp_id

    @property
    def run_id(self) -> str:
        """The id of the run: the time of its creation in UTC, 20 digits. Creates the run."""
        return self._live.open().run.run_id

    @property
    def ecstate(self) -> ECState:
        """Where the experiment is."""
        if self._terminated:
            return ECState.TERMINATED
        phase = self._live.phase()
        if self._released or phase in ("RELEASED", "GONE"):
            return ECState.RELEASED
        return ECState.FAILED if self._live.failed() else ECState.RUNNING

    @property
    def finished(self) -> bool:
        """True once nothing more will happen: it failed, was released, or was shut down."""
        return self.ecstate is not ECState.RUNNING

    @property
    def failures(self) -> list[Failure]:
        """What failed, where and why; critical failures first."""
        from ..reports.failures import failures

        return failures(self._live.records())

    def state(self, guid: Target, hr: bool = False) -> Any:
        """The present :class:`State` of a resource; its name if ``hr`` (human readable)."""
        state = self._live.state(self.find(guid))
        return state.name if hr else state

    def reached(self, guid: Target, state: State | str) -> bool:
        """True if a resource has reached a state, whether or not it is still there."""
        return self._live.reached(self.find(guid), State.parse(state))

    # -- the end --------------------------------------------------------------------------------

    def release(self, guids: Targets | None = None) -> None:
        """Undo everything that resources did, and return when that is done.

        Errors are recorded in :attr:`failures` and stop nothing.

        Args:
            guids: only these, and those that live on them; the whole run by default.
        """
        if guids is not None:
            chosen = self._resolve(guids)
            with self._stored(chosen):
                self._live.release(chosen)
            return
        with self._stored():
            self._live.release(None)
        ownership.let_go(self)
        self._released = True

    def shutdown(self) -> None:
        """Release everything and let go of the run."""
        if not self._terminated:
            self.release()
            self._terminated = True
        self._live.close()

    def close(self) -> None:
        """Let go of the connections to the run, which goes on; after :meth:`attach`.

        What other threads wait for then ends with :class:`NotAllowed`, after some seconds.
        """
        self._live.close()

    def detach(self) -> str:
        """Leave the run to itself: it goes on when this process ends. Returns its id."""
        run_id = self.run_id
        ownership.let_go(self)
        return run_id

    def _hold(self) -> None:
        ownership.hold(self, self._release_at_exit)

    def _release_at_exit(self) -> None:
        if not self._quiet:
            print(  # noqa: T201 - said to whoever ended the script
                f"releasing run {self.run_id} (ctrl-C again: do not wait for it)", file=sys.stderr
            )
        ownership.let_go(self)
        try:
            with self._stored():
                self._live.release(None, EXIT_SECONDS)
            self._released = True
        except NepiqError as error:
            # What ended the script is what must be told in the end.
            log.warning("%s", error)
        finally:
            self._live.close()

    # -- other clients --------------------------------------------------------------------------

    @classmethod
    def attach(cls, run_id: str, *, settings: Settings | None = None) -> ExperimentController:
        """The experiment of an existing run, live, from any process.

        Args:
            run_id: the run's id, a unique beginning or end of it, an exp_id for its latest run,
                or ``last``.
            settings: where Redis is.

        Raises:
            UnknownRun: there is none.
        """
        made = cls(settings=settings)
        made._description.exp_id = made._live.join(run_id).run.exp_id
        return made

    @classmethod
    def runs(cls, *, settings: Settings | None = None) -> list[RunInfo]:
        """All runs that Redis still holds, the latest first."""
        from .connect import Access

        access = Access(settings, worker=False)
        try:
            with contact():
                return access.stack.runs()
        finally:
            access.close()

    def __enter__(self) -> ExperimentController:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not ownership.holds(self):
            self._live.close()
        elif error is not None:
            self._release_at_exit()
        else:
            failed = self._live.failed()
            self.shutdown()
            if failed is not None:
                raise failed

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise NotAllowed(
            "an experiment cannot be sent to another process",
            hint="send run_id, and ExperimentController.attach() to it there",
        )

    def __repr__(self) -> str:
        return f"<ExperimentController {self.exp_id} {self._live.known_run or 'not deployed'}>"
