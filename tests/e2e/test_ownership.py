"""Who made a run releases it, however the script ends; SIGKILL and detach() leave it running."""

from __future__ import annotations

import signal

import pytest
from tests.e2e.installation import Installation, Process
from tests.stand import bearers, until

from nepiq.controller import ExperimentController, RunInfo

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

EXPERIMENT = """
import os, signal, sys, time
ec = ExperimentController("{name}")
node = ec.register_resource("linux::Node")
apps = [
    ec.register_resource("linux::Application", command="sleep 300", connectedTo=node)
    for n in range(5)
]
ec.deploy()
assert ec.wait_started(timeout=30)
print("started", flush=True)
"""


def info(installation: Installation, name: str) -> RunInfo:
    """The latest run of an experiment."""
    runs = ExperimentController.runs(settings=installation.settings())
    return next(run for run in runs if run.exp_id == name)


def begin(installation: Installation, name: str, end: str) -> Process:
    """Start a script that goes on as told once everything is STARTED."""
    process = installation.python(installation.script(EXPERIMENT.format(name=name) + end))
    process.wrote("started\n")
    return process


def assert_released(installation: Installation, name: str) -> None:
    run = info(installation, name)
    assert run.phase == "RELEASED"
    assert bearers(run.run_id) == []


@pytest.mark.parametrize(
    ("name", "end", "code"),
    [
        ("end", "", 0),
        ("exit", "sys.exit(4)", 4),
        ("raise", "raise ValueError", 1),
        ("term", "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", 143),
        ("int", "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
        ("waiting", "signal.setitimer(signal.ITIMER_REAL, 0.3)\n"
         "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
         "ec.wait_finished()", -signal.SIGINT),
    ],
)  # fmt: skip
def test_the_end_of_the_script_releases_the_run(
    installation: Installation, name: str, end: str, code: int
) -> None:
    done = begin(installation, name, end).ended()
    assert done.code == code, done.err
    assert f"releasing run {info(installation, name).run_id}" in done.err
    assert_released(installation, name)


def test_an_interrupted_script_collects(installation: Installation) -> None:
    text = EXPERIMENT.format(name="collecting").replace(
        "ec.deploy()",
        "ec.register_resource('Collector', traceName='stdout', connectedTo='application-2')\n"
        "ec._storage.given_dir, ec._storage.persist = pathlib.Path('kept').absolute(), True\n"
        "ec.deploy()",
    )
    end = "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    done = installation.python(installation.script(f"import pathlib\n{text}{end}")).ended()
    assert done.code == -signal.SIGINT, done.err
    run = info(installation, "collecting").run_id
    kept = installation.folder / "kept" / "collecting" / run
    assert sorted(path.name for path in kept.iterdir()) == ["2.stdout", "collecting.yaml"]
    assert_released(installation, "collecting")


def test_a_shutdown_says_nothing(installation: Installation) -> None:
    done = begin(installation, "shutdown", "ec.shutdown()").ended()
    assert (done.code, done.err) == (0, "")
    assert_released(installation, "shutdown")


def test_a_killed_script_leaves_its_run_to_be_attached_to(installation: Installation) -> None:
    process = begin(installation, "killed", "time.sleep(60)")
    process.signal(signal.SIGKILL)
    process.ended()
    run = info(installation, "killed")
    assert run.phase == "RUNNING"
    assert len(bearers(run.run_id)) >= 5
    with ExperimentController.attach("killed", settings=installation.settings()) as ec:
        states = {ec.state(guid, hr=True) for guid in ec.resources}
        assert states == {"STARTED"}
        ec.stop(ec.resources[-1])
        assert ec.state(ec.resources[-1], hr=True) == "STOPPED"
        ec.release()
    assert_released(installation, "killed")


def test_a_detached_run_goes_on(installation: Installation) -> None:
    done = begin(installation, "detached", "print(ec.detach())").ended()
    assert (done.code, done.err) == (0, "")
    run = info(installation, "detached")
    assert done.out.split() == ["started", run.run_id]
    assert run.phase == "RUNNING"
    assert installation.nepiq("release", "detached").code == 0
    assert_released(installation, "detached")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nepiq_run_passes_signals_on(installation: Installation, number: signal.Signals) -> None:
    name = f"passed-on-{number}"
    script = installation.script(EXPERIMENT.format(name=name) + "ec.wait_finished()")
    process = installation.begin("run", script)
    process.wrote("started\n")
    process.signal(number)
    done = process.ended()
    assert done.code == 128 + number, done.err
    assert "Traceback" not in done.err
    assert "RELEASED" in done.err
    assert_released(installation, name)


def test_ctrl_c_in_the_moment_in_which_the_run_is_made(installation: Installation) -> None:
    script = installation.script(
        """
        import os, signal, time
        from nepiq.controller.engine.backend import Backend

        made = Backend.create_run

        def interrupted(*args):
            run = made(*args)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)  # in which Python calls the handler
            return run

        Backend.create_run = interrupted
        ec = ExperimentController("interrupted")
        ec.register_resource("nepiq::Null")
        ec.deploy()
        """
    )
    done = installation.python(script).ended()
    assert done.code in (130, -2), done.err
    assert_released(installation, "interrupted")


def test_ctrl_c_in_the_moment_in_which_resources_are_uploaded(installation: Installation) -> None:
    script = installation.script(
        """
        import os, signal, time
        from nepiq.controller.engine.run import Run

        upload = Run.upload

        def interrupted(*args):
            upload(*args)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)  # in which Python calls the handler

        Run.upload = interrupted
        ec = ExperimentController("uploading")
        ec.register_resource("nepiq::Null")
        ec.deploy()
        """
    )
    done = installation.python(script).ended()
    assert done.code in (130, -2), done.err
    assert_released(installation, "uploading")


def test_ctrl_c_while_a_large_experiment_is_being_deployed(installation: Installation) -> None:
    script = installation.script(
        """
        import time
        ec = ExperimentController("large")
        node = ec.register_resource("linux::Node")
        for n in range(60):
            ec.register_resource("linux::Application", command="sleep 300", connectedTo=node)
        print("deploying", flush=True)
        ec.deploy()
        ec.wait_started()
        time.sleep(60)
        """
    )
    process = installation.begin("run", "-q", script)
    process.wrote("deploying\n")
    settings = installation.settings()
    until(
        lambda: any(run.exp_id == "large" for run in ExperimentController.runs(settings=settings)),
        20.0,
        "no run was created",
    )
    process.signal(signal.SIGINT)
    done = process.ended()
    assert done.code == 130, done.err
    assert_released(installation, "large")


def test_a_second_ctrl_c_leaves_the_release_to_the_workers(installation: Installation) -> None:
    end = """
import threading
ec.register_resource("linux::Application", label="stubborn", connectedTo=node,
                     command="trap '' TERM; echo up; while :; do sleep 1; done",
                     startedWhen="output:up")
ec.deploy()
assert ec.wait_started(timeout=30)
print("again", flush=True)
time.sleep(60)
"""
    process = begin(installation, "impatient", end)
    process.wrote("again\n")
    process.signal(signal.SIGINT)
    process.wrote("releasing run")
    process.signal(signal.SIGINT)
    done = process.ended()
    assert "the workers go on releasing" in done.err
    until(
        lambda: info(installation, "impatient").phase == "RELEASED",
        40.0,
        "the workers did not release it",
    )
    assert_released(installation, "impatient")


@pytest.mark.parametrize("block", ["", "with ec: "])
def test_a_second_ctrl_c_in_a_collection(installation: Installation, block: str) -> None:
    """They are brought here before the release is requested, which takes for ever here."""
    text = EXPERIMENT.format(name="hasty").replace(
        "ec.deploy()",
        "large = ec.register_resource('linux::Application', connectedTo=node, hardRelease=True,\n"
        "    command='truncate -s 8T large; echo up; exec sleep 300', startedWhen='output:up')\n"
        "ec.register_resource('Collector', traceName='large', connectedTo=large)\n"
        "ec._storage.given_dir = pathlib.Path('kept').absolute()\n"
        "ec.deploy()",
    )
    end = f"{block}time.sleep(60)"
    process = installation.python(installation.script(f"import pathlib\n{text}{end}"))
    process.wrote("started\n")
    process.signal(signal.SIGINT)
    process.wrote("releasing run")
    kept = installation.folder / "kept"
    until(lambda: any(path.is_file() for path in kept.rglob("*")), 20.0, "nothing is collected")
    process.signal(signal.SIGINT)
    assert process.ended().code == -signal.SIGINT
    until(lambda: info(installation, "hasty").phase == "RELEASED", 40.0, "it is not released")
    assert_released(installation, "hasty")


def test_a_fork_does_not_release_its_parents_run(installation: Installation) -> None:
    end = """
if os.fork() == 0:
    sys.exit(0)
os.wait()
print(ec.ecstate.name, ec.state(apps[0], hr=True))
ec.shutdown()
"""
    done = begin(installation, "forked", end).ended()
    assert (done.code, done.out) == (0, "started\nRUNNING STARTED\n"), done.err
