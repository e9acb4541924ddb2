"""What users do wrong, and what fails: one line, an exit code, in time, nothing left running."""

from __future__ import annotations

import socket

import pytest
from tests.e2e.installation import Installation
from tests.stand import bearers

from nepiq.controller import ExperimentController

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(180)]

# The times are 5 s to reach Redis and 1.5 s for a worker; a busy machine adds to them.
LIMIT = 15.0

APP = """
with ExperimentController("errors") as ec:
    node = ec.register_resource("linux::Node", label="here")
    app = ec.register_resource("linux::Application", label="app", connectedTo=node{attributes})
    {before}
    ec.deploy()
    {after}
    ec.wait_finished(app)
"""


def app(attributes: str = ', command="true"', before: str = "", after: str = "") -> str:
    return APP.format(attributes=attributes, before=before, after=after)


@pytest.fixture(autouse=True)
def _nothing_left(shared: Installation) -> None:
    """Whatever went wrong, no process of any run is left and every run is released."""
    yield
    if shared.status() is not None:
        runs = ExperimentController.runs(settings=shared.settings())
        assert [run for run in runs if run.phase != "RELEASED"] == []
        assert [pid for run in runs for pid in bearers(run.run_id)] == []


def test_redis_is_not_there(shared: Installation) -> None:
    done = shared.run(app(), NEPIQ_BROKER_URL="redis://:secret@127.0.0.1:1/0")
    assert done.code == 3
    assert done.seconds < LIMIT
    assert "Redis at redis://:***@127.0.0.1:1/0 does not answer" in done.complaint
    assert "NEPIQ_STATE_URL" in done.complaint


def test_something_listens_but_is_no_redis(shared: Installation) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        done = shared.run(app(), NEPIQ_BROKER_URL=url)
    assert done.code == 3
    assert done.seconds < LIMIT
    assert "does not answer" in done.complaint


def test_no_worker_reaches_the_site(shared: Installation) -> None:
    text = app().replace('label="here"', 'label="here", site="lab2"')
    done = shared.run(text, NEPIQ_WORKER_TIMEOUT="1.5")
    assert done.code == 3
    assert done.seconds < LIMIT
    assert "no worker serves site 'lab2'" in done.complaint
    assert "nepiq worker --site lab2" in done.complaint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('ec.register_resource("linux::Aplication")', "did you mean 'linux::Application'"),
        ('ec.set(app, "comand", "x")', "did you mean 'command'"),
        ('ec.wait_started("ap")', "did you mean 'app'"),
        ('ec.set(app, "okExitCodes", "none")', "okExitCodes cannot be 'none'"),
        ('ec.register_condition(app, START, app, STARTED, "soon")', "'soon' is not a duration"),
        ("ec.register_condition(app, START, app, FINISHED)", "app.start waits for app FINISHED"),
        ('ec.register_resource("nepiq::Null", label="no blanks")', "cannot be used as label"),
    ],
)
def test_the_description_is_wrong(shared: Installation, text: str, told: str) -> None:
    done = shared.run(app(before=text))
    assert done.code == 2
    assert told in done.complaint


def test_a_required_connection_is_missing(shared: Installation) -> None:
    done = shared.run(app().replace(", connectedTo=node", ""))
    assert done.code == 2
    assert "connection 'node' of app to a linux::Node" in done.complaint


def test_a_trace_does_not_exist(shared: Installation) -> None:
    done = shared.run(app(after='ec.wait_finished(app); ec.trace(app, "stdot")'))
    assert done.code == 2
    assert "unknown trace 'stdot' (did you mean 'stdout'" in done.complaint


def test_a_run_does_not_exist(shared: Installation) -> None:
    assert shared.run(app()).code == 0
    done = shared.nepiq("status", "erors")
    assert done.code == 2
    assert "no run 'erors'" in done.complaint
    assert "errors" in done.complaint.partition("(")[2]


def test_there_is_no_script(shared: Installation) -> None:
    done = shared.nepiq("run", "nothing.py")
    assert done.code == 2
    assert "nothing.py" in done.complaint


def test_a_command_is_not_found(shared: Installation) -> None:
    done = shared.run(app(', command="no-such-command -x"'))
    assert done.code == 1
    assert "127" in done.complaint
    assert "no-such-command" in done.complaint
    assert "command not found on that host" in done.complaint


def test_a_command_fails_and_its_stderr_is_shown(shared: Installation) -> None:
    done = shared.run(app(""", command="echo out; echo 'the disk is full' >&2; exit 3" """))
    assert done.code == 1
    assert "the disk is full" in done.complaint
    assert "3" in done.complaint
    assert "okExitCodes" in done.complaint


def test_workers_cannot_import_the_class(shared: Installation) -> None:
    text = """
    class Mine(ResourceManager, rtype="my::Own"):
        def do_start(self, context):
            pass

    with ExperimentController("mine") as ec:
        ec.register_resource("my::Own", label="own")
        ec.deploy()
        ec.wait_started()
    """
    done = shared.run(text)
    assert done.code == 1
    assert "my::Own" in done.complaint
    assert "NEPIQ_IMPORTS" in done.complaint


def test_modules_beside_the_script_are_imported_if_listed(shared: Installation) -> None:
    (shared.folder / "my_own_types.py").write_text(
        "from nepiq.controller import ResourceManager\n"
        'class Mine(ResourceManager, rtype="my::Listed"):\n'
        "    def do_start(self, context): pass\n"
    )
    text = """
    with ExperimentController("mine") as ec:
        ec.register_resource("my::Listed")
        ec.deploy()
        print(ec.wait_started())
    """
    done = shared.run(text, NEPIQ_IMPORTS="my_own_types")
    assert (done.code, done.out) == (0, "True\n"), done.err


def test_a_listed_module_does_not_exist(shared: Installation) -> None:
    done = shared.run(app(), NEPIQ_IMPORTS="no_such_module")
    assert done.code == 2
    assert "no_such_module" in done.complaint


def test_an_error_of_the_script_is_a_traceback_of_the_script(shared: Installation) -> None:
    done = shared.run("raise ValueError('mine')")
    assert done.code == 1
    assert "ValueError: mine" in done.err
    assert "nepiq/controller" not in done.err


def test_tracebacks_are_shown_on_request(shared: Installation) -> None:
    script = shared.script(app(before='ec.find("nobody")'))
    done = shared.nepiq("-vv", "run", "-q", script)
    assert done.code == 2
    assert "Traceback" in done.err


def test_the_scripts_own_exit_code_is_kept(shared: Installation) -> None:
    done = shared.run("import sys; print(sys.argv[1:]); sys.exit(7)")
    assert (done.code, done.out) == (7, "[]\n")


def test_the_script_gets_its_arguments(shared: Installation) -> None:
    script = shared.script("import sys; print(sys.argv[1:])")
    done = shared.nepiq("run", script, "--results", "x", "-q")
    assert done.out == "['--results', 'x', '-q']\n"


def test_an_experiment_that_failed_unnoticed_is_a_failure(shared: Installation) -> None:
    text = """
    ec = ExperimentController("unnoticed")
    node = ec.register_resource("linux::Node")
    ec.register_resource("linux::Application", command="exit 4", connectedTo=node, label="bad")
    ec.deploy()
    print(ec.wait_finished(), [str(failure) for failure in ec.failures], ec.ecstate.name)
    ec.shutdown()
    print(ec.ecstate.name)
    """
    done = shared.run(text)
    assert done.code == 1
    first, last = done.out.splitlines()
    assert first.startswith("False ['bad: ")
    assert first.endswith("FAILED")
    assert last == "TERMINATED"
    assert "failed: bad: " in done.err


def test_a_wait_times_out_and_says_for_what(shared: Installation) -> None:
    done = shared.run(app(', command="sleep 60"', after='ec.wait_finished(app, timeout="500ms")'))
    assert done.code == 5
    assert "not finished after 0.5 s: app is " in done.complaint
