"""nepiq, through the interface that users script against."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from redis import Redis

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

from . import probes  # noqa: F401  # registers the resource types
from . import work as bodies
from .measure import Samples

PROBES = {
    bodies.NOTHING: "bench::Probe",
    bodies.SLEEP: "bench::SleepProbe",
    bodies.SHELL: "bench::ShellProbe",
}

# What has not happened by then fails the measurement instead of holding it up.
LIMIT = "180s"


class Failed(Exception):
    """The measured experiment failed, so that its figures mean nothing."""


@contextmanager
def _experiment() -> Iterator[ExperimentController]:
    with ExperimentController("bench") as ec:
        yield ec


def _require(reached: bool, ec: ExperimentController) -> None:
    if not reached:
        raise Failed(str(ec.failures))


def _stamps(ec: ExperimentController, guids: Sequence[int]) -> bodies.Stamps:
    return {at: (ec.get(guid, "entered"), ec.get(guid, "left")) for at, guid in enumerate(guids)}


def _nulls(ec: ExperimentController, count: int, work: str) -> list[int]:
    if work == bodies.SLEEP:
        took = f"{bodies.SLEEP_SECONDS * 1000:g}ms"
        return [ec.register_resource("nepiq::Sleep", work=took) for _ in range(count)]
    return [ec.register_resource("nepiq::Null") for _ in range(count)]


def fan_out(count: int, work: str = bodies.NOTHING) -> Samples:
    """From the call of deploy() to wait_started()'s return; registering is not counted."""
    with _experiment() as ec:
        guids = _nulls(ec, count, work)
        began = time.perf_counter()
        ec.deploy()
        started = ec.wait_started(guids, LIMIT)
        took = time.perf_counter() - began
        _require(started, ec)
    return [took]


def _chain(ec: ExperimentController, length: int, work: str) -> list[int]:
    guids = [ec.register_resource(PROBES[work]) for _ in range(length)]
    for before, after in pairwise(guids):
        ec.register_condition(after, ResourceAction.START, before, ResourceState.STARTED, "0s")
    return guids


def chain(length: int, work: str = bodies.NOTHING) -> Samples:
    """The hops of a chain of START conditions."""
    with _experiment() as ec:
        guids = _chain(ec, length, work)
        ec.deploy()
        _require(ec.wait_started(guids, LIMIT), ec)
        return bodies.hops(_stamps(ec, guids))


def fan_in(count: int) -> Samples:
    """From the end of the last of many starts to the hook of the one that waits for all."""
    with _experiment() as ec:
        many = [ec.register_resource(PROBES[bodies.NOTHING]) for _ in range(count)]
        last = ec.register_resource(PROBES[bodies.NOTHING])
        ec.register_condition(last, ResourceAction.START, many, ResourceState.STARTED, "0s")
        ec.deploy()
        _require(ec.wait_started([last], LIMIT), ec)
        return [bodies.joined(_stamps(ec, [*many, last]))]


def due_together(count: int, lead: float) -> Samples:
    """How late the last of many starts is that are due at one instant.

    Counted from the end of the first one's hook, a little before the milestone from which the
    engine counts; so it is never too small.
    """
    with _experiment() as ec:
        first = ec.register_resource(PROBES[bodies.NOTHING])
        many = [ec.register_resource(PROBES[bodies.NOTHING]) for _ in range(count)]
        ec.register_condition(
            many, ResourceAction.START, first, ResourceState.STARTED, f"{lead:g}s"
        )
        ec.deploy()
        _require(ec.wait_started(many, LIMIT), ec)
        due = ec.get(first, "left") + lead
        late = [entered - due for entered, _ in _stamps(ec, many).values()]
    if min(late) < 0:
        raise Failed(f"a start was {-min(late):.4f} s early")
    return [max(late)]


@contextmanager
def _local_node() -> Iterator[tuple[ExperimentController, int]]:
    """An experiment with one node, this machine, that is READY."""
    with tempfile.TemporaryDirectory(prefix="nepiq-bench-") as home, _experiment() as ec:
        node = ec.register_resource("linux::Node", hostname="localhost", home=home)
        ec.deploy([node])
        _require(ec.wait_deployed([node], LIMIT), ec)
        yield ec, node


def commands(length: int) -> Samples:
    """The periods of a chain in which each start runs a shell command on a warm local host.

    A period is the time from claim to commit and the delivery of one message.
    """
    with _local_node() as (ec, node):
        guids = _chain(ec, length, bodies.SHELL)
        for guid in guids:
            ec.register_connection(guid, node)
        ec.deploy(guids)
        _require(ec.wait_started(guids, LIMIT), ec)
        return bodies.periods(_stamps(ec, guids))


def _application(ec: ExperimentController, node: int, command: str) -> str:
    guid = ec.register_resource("linux::Application", command=command)
    ec.register_connection(guid, node)
    ec.deploy([guid])
    _require(ec.wait_finished([guid], LIMIT), ec)
    return str(ec.trace(guid, "stdout"))


def applications(count: int) -> Samples:
    """From the registration of an application on a warm local host to its output in hand."""
    samples = []
    with _local_node() as (ec, node):
        for _ in range(count):
            began = time.perf_counter()
            _application(ec, node, "echo done")
            samples.append(time.perf_counter() - began)
    return samples


def exits(count: int) -> Samples:
    """From the last act of a process, to print the time, to wait_finished() and its output."""
    with _local_node() as (ec, node):
        # The pause lets the start's own commit pass, so that only the exit is measured.
        command = "sleep 0.3; date +%s.%N"
        ends = (float(_application(ec, node, command)) for _ in range(count))
        return [time.time() - end for end in ends]


def memory(count: int) -> Samples:
    """Bytes of Redis for each resource of a started experiment, its events included."""
    with Redis.from_url(os.environ["NEPIQ_STATE_URL"]) as client, _experiment() as ec:
        before = int(client.info("memory")["used_memory"])
        guids = _nulls(ec, count, bodies.NOTHING)
        ec.deploy()
        _require(ec.wait_started(guids, LIMIT), ec)
        return [(int(client.info("memory")["used_memory"]) - before) / count]


FIRST_DEPLOY = """
import time
began = time.perf_counter()
from nepiq.controller import ExperimentController
ec = ExperimentController("bench")
ec.register_resource("nepiq::Null")
ec.deploy()
print(time.perf_counter() - began, flush=True)
ec.shutdown()
"""


def first_deploy() -> Samples:
    """Importing nepiq.controller and a first deploy(), in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_DEPLOY], capture_output=True, text=True, check=True
    )
    return [float(done.stdout)]
