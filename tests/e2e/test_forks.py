"""Experiments in forked processes: another client of the run, which stays the parent's."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Iterator

import pytest
from tests.stand import Stand

from nepiq.controller import ExperimentController, NotAllowed, errors

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(180)]

PATIENCE = 60

BEGIN = """
import concurrent.futures, multiprocessing, os, signal, sys, threading, time
from nepiq.controller import ExperimentController, NepiqError

def said(child):
    app = ec.register_resource(
        "linux::Application", command=f"echo child {child}", connectedTo="node"
    )
    ec.deploy(app)
    ec.wait_finished(app, timeout=60)
    return app, ec.trace(app, "stdout"), ec.run_id

def right(found):
    assert sorted(text for _, text, _ in found) == [f"child {n}\\n" for n in range(8)], found
    assert len({guid for guid, _, _ in found}) == 8, found
    assert {run for _, _, run in found} == {ec.run_id}, found

def forked(child):
    # Only what a process does itself; its code, negative for a signal.
    pid = os.fork()
    if not pid:
        child()
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

fork = multiprocessing.get_context("fork")
ec = ExperimentController("forked", quiet=True)
node = ec.register_resource("linux::Node", label="node")
"""

GOES_ON = """
assert ec.state("node", hr=True) == "STARTED"
assert ec.ecstate.name == "RUNNING"
assert said(99)[1] == "child 99\\n"
print("all is well", ec.run_id)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and a worker."""
    with Stand(tmp_path_factory.mktemp("forks"), PYTHONWARNINGS="ignore") as made:
        made.start_worker()
        yield made


def carry_out(place: Stand, text: str) -> str:
    """What a script prints that must end well."""
    with place.script(BEGIN + text) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE * 2)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0, f"{out}\n{err}"
    return out


def ended(place: Stand, out: str) -> None:
    """The script went on after its children, and its own end released the run."""
    *told, run_id = out.splitlines()[-1].split()
    assert told == ["all", "is", "well"], out
    assert place.backend().run(run_id).snapshot([]).phase == "RELEASED"


def test_pools_of_children(place: Stand) -> None:
    text = """
ec.deploy()
with fork.Pool(4) as pool:
    right(pool.map(said, range(8), chunksize=1))
with concurrent.futures.ProcessPoolExecutor(4, fork) as pool:
    right(list(pool.map(said, range(8))))
"""
    ended(place, carry_out(place, text + GOES_ON))


def test_the_end_of_a_child_leaves_the_run_alone(place: Stand) -> None:
    text = """
def leaves():
    with ec:
        said(0)

def raises():
    with ec:
        raise ValueError

def exits():
    said(0)
    sys.exit(3)

def signalled(number):
    os.kill(os.getpid(), number)
    time.sleep(60)

def used_and_signalled():
    said(0)
    signalled(signal.SIGTERM)

def grandchild():
    assert forked(lambda: said(0)) == 0
    said(1)

children = {
    leaves: 0,
    raises: 1,
    exits: 3,
    used_and_signalled: -15,
    grandchild: 0,
    ec.close: 0,
    ec.detach: 0,
    (lambda: None): 0,
    (lambda: signalled(signal.SIGTERM)): -15,
    (lambda: signalled(signal.SIGKILL)): -9,
}
ec.deploy()
ec.wait_started("node")
for child, code in children.items():
    assert forked(child) == code, child
    assert ec.state("node", hr=True) == "STARTED", child
"""
    ended(place, carry_out(place, text + GOES_ON))


def test_forks_while_threads_are_busy(place: Stand) -> None:
    text = """
sys.setswitchinterval(1e-6)
ec.deploy()
over = threading.Event()
def busy():
    while not over.is_set():
        null = ec.register_resource("nepiq::Null")
        ec.deploy(null)
        ec.wait_started(null, timeout=60)
        ec.release(null)
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(5):
    assert forked(lambda: said(0)) == 0
over.set()
for thread in threads: thread.join()
"""
    ended(place, carry_out(place, text + GOES_ON))


def test_a_child_deploys_what_is_its_own(place: Stand) -> None:
    """What was described before a fork is the parent's, whoever looks at it."""
    text = """
ec.deploy()
late = ec.register_resource("nepiq::Null", label="late")
ready, go = os.pipe()
def child():
    assert "late" in ec.serialize()
    os.read(ready, 1)
    # The parent has deployed it by now: it is known as such, and no other.
    assert ec.wait_started("late", timeout=60)
    assert ec.find("late") == late
    said(0)
pid = os.fork()
if not pid:
    child()
    sys.exit(0)
ec.deploy(late)
os.write(go, b"x")
assert os.waitpid(pid, 0)[1] == 0
"""
    ended(place, carry_out(place, text + GOES_ON))


def test_a_child_that_begins_a_run_ends_it(place: Stand) -> None:
    """An experiment that was only described is copied: each child that deploys has a run."""
    text = """
def alone(_):
    ec.deploy()
    assert said(0)[1] == "child 0\\n"
    return ec.run_id
with fork.Pool(2) as pool:
    runs = pool.map(alone, range(2), chunksize=1)
    pool.close()
    pool.join()
print(*runs)
"""
    runs = set(carry_out(place, text).split())
    assert len(runs) in (1, 2)  # One child may have been fast enough to do both.
    for run in runs:
        assert place.backend().run(run).snapshot([]).phase == "RELEASED"


def test_what_a_child_raises_reaches_its_parent(place: Stand) -> None:
    text = """
def fails(name):
    ec.trace("node", name)
ec.deploy()
ec.wait_started("node")
with fork.Pool(1) as pool:
    try:
        pool.map_async(fails, ["nothing"]).get(60)
    except NepiqError as error:
        print(type(error).__name__)
"""
    out = carry_out(place, text + GOES_ON)
    assert out.startswith("TraceNotFound\n")
    ended(place, out)


MADE = [
    errors.UnknownResource("x", ["xx", "y"], where="w"),
    errors.CommandError("ls", 127, "no\nls", where="host", hint="look"),
    errors.DocumentError([errors.InvalidValue("a", where="f:1:2"), errors.NotAllowed("b")]),
    errors.UploadFailed("p", ["a"], {"b": errors.HostError("full", hint="h")}),
    errors.HostError("no", where="w", hint="h"),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_errors_travel_between_processes(error: errors.NepiqError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.args, repr(vars(again))) == (
        str(error),
        error.args,
        repr(vars(error)),
    )


def test_an_experiment_does_not_travel() -> None:
    with pytest.raises(NotAllowed, match="attach") as raised:
        pickle.dumps(ExperimentController("one"))
    assert "run_id" in raised.value.hint
