"""The command line: what its verbs print, for people and for programs."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand, until

from nepiq.controller import ExperimentController
from nepiq.controller.engine import Backend

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
VERBS = ["run", "validate", "plan", "convert", "schema", "ls", "status", "timeline", "plot", "why"]
VERBS += ["attach", "trace", "logs", "files", "download"]
VERBS += ["upload", "results", "release", "forget", "up", "down", "worker"]
VERBS += ["drain", "clean", "doctor", "version"]
VERBS += ["top", "metrics", "flower", "pool"]
EXPERIMENT = """
ec = ExperimentController("shown")
node = ec.register_resource("linux::Node", label="here")
def app(label, command, **more):
    return ec.register_resource(
        "linux::Application", label=label, command=command, connectedTo=node, **more
    )
app("hello", "echo hello; echo oops >&2")
app("broken", "echo 'no space' >&2; exit 3", critical=False)
app("server", "sleep 300")
app("client", "true")
ec.register_condition("client", START, "server", FINISHED, "2s")
ec.deploy()
ec.wait_finished(["hello", "broken"])
print("said by the script")
"""


HELP = """
from nepiq.controller.cli import main
for verb in {verbs}:
    print(end="\\0", flush=True)
    print("exit", main([verb, "--help"]))
"""


@pytest.fixture(scope="module")
def shown(shared: Installation) -> Iterator[Installation]:
    """An installation with one detached run that goes on until the tests of it are over."""
    done = shared.python(shared.script(EXPERIMENT + "\nprint(ec.detach())")).ended()
    assert done.code == 0, done.err
    yield shared
    # By its id: later tests run experiments of the same name.
    shared.nepiq("release", done.out.split()[-1])


def test_every_verb_teaches_with_an_example(fresh: Installation) -> None:
    told = fresh.nepiq("--help").out
    # In one process: to load the program takes longer than its answer.
    done = fresh.python(fresh.script(HELP.format(verbs=VERBS))).ended()
    assert (done.code, done.err) == (0, "")
    answers = done.out.split("\0")[1:]
    for verb, answer in zip(VERBS, answers, strict=True):
        assert f"  {verb} " in told
        assert f"Example:  nepiq {verb}" in answer
        assert answer.endswith("exit 0\n")
    assert fresh.status() is None


def test_nonsense_is_a_usage_error(fresh: Installation) -> None:
    assert fresh.nepiq("fly").code == 2
    assert fresh.nepiq("ls", "--no-such-option").code == 2


def test_ls(shown: Installation) -> None:
    (run,) = json.loads(shown.nepiq("ls", "--json").out)
    assert (run["exp_id"], run["phase"], run["live"], run["cause"]) == ("shown", "RUNNING", 5, None)
    line = shown.nepiq("ls").out.splitlines()[1]
    assert line.split()[:3] == [run["run_id"], "shown", "RUNNING"]


def test_status(shown: Installation) -> None:
    done = shown.nepiq("status", "last", "--timeline")
    table = [line.split() for line in done.out.splitlines() if line.strip()]
    rows = {row[0]: row for row in reversed(table)}
    assert rows["here"][1:3] == ["linux::Node", "STARTED"]
    assert rows["hello"][2] == "FINISHED"
    assert rows["server"][2] == "STARTED"
    assert "exited with 3: no space" in " ".join(rows["broken"])
    assert "failed: broken: exited with 3: no space, on here (not critical)" in done.out
    assert "release" in done.out.splitlines()[-1]
    assert "\x1b[" not in done.out
    told = json.loads(shown.nepiq("status", "shown", "--json").out)
    by_label = {record["label"]: record for record in told["resources"]}
    assert by_label["hello"]["attributes"]["exitCode"] == 0
    assert by_label["broken"]["error"]["code"] == 3
    assert told["run"]["phase"] == "RUNNING"


def test_why(shown: Installation) -> None:
    out = shown.nepiq("why", "last", "client").out
    assert "start waits for server FINISHED + 2 s (it is STARTED)" in out
    assert "it runs until it ends by itself" in shown.nepiq("why", "last", "server").out
    assert "exited with 3: no space" in shown.nepiq("why", "last", "broken").out
    assert "exit code 0" in shown.nepiq("why", "last", "hello").out
    told = json.loads(shown.nepiq("why", "last", "5", "--json").out)
    assert told["label"] == "client"
    done = shown.nepiq("why", "last", "cleint")
    assert done.code == 2
    assert "did you mean 'client'" in done.complaint


def test_trace_and_results(shown: Installation) -> None:
    assert shown.nepiq("trace", "last", "hello").out == "hello\n"
    assert shown.nepiq("trace", "last", "hello", "stderr").out == "oops\n"
    missing = shown.nepiq("trace", "last", "hello", "sdterr")
    assert (missing.code, missing.out) == (2, "")
    folder = shown.folder / "results"
    done = shown.nepiq("results", "last", folder)
    assert done.code == 0  # the client has not been started, so nothing of it is missed
    assert not (folder / "client").exists()
    assert (folder / "hello" / "stdout").read_text() == "hello\n"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["exp_id"] == "shown"
    (kept,) = [
        item for item in manifest["files"] if (item["label"], item["name"]) == ("hello", "stdout")
    ]
    assert kept["bytes"] == 6
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert {"STARTED", "FINISHED", "claim"} <= {event["what"] for event in events}


def test_files_and_directories(shown: Installation) -> None:
    source = shown.folder / "my files"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.log").write_text("a")
    (source / "out").symlink_to("/etc/passwd")
    done = shown.nepiq("upload", "last", "hello", source, "in it")
    assert (done.code, done.err) == (0, "left out: out: a link that leads out\n")
    listed = json.loads(shown.nepiq("files", "last", "hello", "--json").out)
    assert [item["name"] for item in listed] == [
        *("in it", "in it/deep", "in it/deep/a.log"),
        *("stderr", "stdout"),
    ]
    assert (listed[2]["kind"], listed[2]["size"]) == ("file", 1)
    table = shown.nepiq("files", "last", "hello", "in it").out.splitlines()
    assert table[0].split() == ["kind", "size", "changed", "mode", "name"]
    assert table[2].split()[0:3:2] == ["file", "B"]
    assert table[2].endswith("in it/deep/a.log")
    back = shown.folder / "back"
    assert shown.nepiq("download", "last", "hello", "in it/*/*.log", "-o", back).code == 0
    assert (back / "deep" / "a.log").read_text() == "a"
    none = shown.nepiq("download", "last", "hello", "no*", "-o", back)
    assert (none.code, "unknown trace 'no*'" in none.complaint) == (2, True)


def test_results_that_cannot_be_written(shown: Installation) -> None:
    file = shown.folder / "no-folder"
    file.write_text("")
    done = shown.nepiq("results", "last", file)
    assert done.code == 4
    assert f"cannot write into '{file}'" in done.complaint
    assert file.read_text() == ""


def test_doctor_finds_nothing(shown: Installation) -> None:
    done = shown.nepiq("doctor")
    assert done.code == 0, done.out
    assert [line[:4] for line in done.out.splitlines()] == ["ok  "] * 9
    findings = json.loads(shown.nepiq("doctor", "--json").out)
    assert {finding["about"] for finding in findings} >= {"redis", "workers", "clock", "runs"}


def test_doctor_says_what_to_do(fresh: Installation, tmp_path: Path) -> None:
    done = fresh.nepiq("doctor", NEPIQ_BROKER_URL="redis://127.0.0.1:1/0")
    assert done.code == 3
    assert "!!  redis: Redis at redis://127.0.0.1:1/0 does not answer" in done.out
    with Stand(tmp_path / "stand") as stand:
        url = stand.environment["NEPIQ_BROKER_URL"]
        done = fresh.nepiq("doctor", NEPIQ_BROKER_URL=url)
    assert done.code == 3
    assert "!!  workers: none is running  -> nepiq worker" in done.out


def test_version(fresh: Installation) -> None:
    told = json.loads(fresh.nepiq("version", "--json").out)
    assert {"nepiq", "celery", "redis", "python"} <= set(told)
    for command in ("version", "--version"):
        assert fresh.nepiq(command).out.startswith(f"nepiq {told['nepiq']} ")


def test_run_tells_plainly_where_there_is_no_terminal(shared: Installation) -> None:
    ending = EXPERIMENT + "\nec.shutdown()"
    done = shared.nepiq("run", "--results", shared.folder / "kept", shared.script(ending))
    assert (done.code, done.out) == (0, "said by the script\n"), done.err
    lines = done.err.splitlines()
    assert any(line.endswith(" s  hello STARTED") for line in lines)
    assert any(" s  broken FAILED  exited with 3" in line for line in lines)
    assert any(line.startswith("hello") and line.endswith("FINISHED") for line in lines)
    assert any(line.split()[:2] == ["hello", "stdout"] and "hello" in line for line in lines)
    assert any(line.startswith("failed: broken: ") for line in lines)
    assert (shared.folder / "kept" / "hello" / "stdout").read_text() == "hello\n"


def test_quiet_run_says_only_what_the_script_says(shared: Installation) -> None:
    ending = EXPERIMENT.replace("exit 3", "exit 0") + "\nec.shutdown()"
    done = shared.nepiq("run", "-q", shared.script(ending))
    assert (done.code, done.out, done.err) == (0, "said by the script\n", "")


def test_annotations_of_a_script_are_evaluated_as_python_does(shared: Installation) -> None:
    text = """
        def f(x: int) -> None: ...
        print(f.__annotations__["x"])
        """
    script = shared.script(text)
    alone, done = shared.python(script).ended(), shared.nepiq("run", "-q", script)
    assert (done.code, done.out, done.err) == (0, "<class 'int'>\n", "")
    assert alone.out == done.out


def on_a_terminal(
    installation: Installation,
    *command: str,
    interrupt_at: bytes = b"",
    code: int = 0,
    **environment: str,
) -> str:
    """What a command writes to a terminal of 100 columns.

    Args:
        installation: whose command.
        command: the arguments.
        interrupt_at: press ctrl-C once this was written.
        code: the exit code that it must end with.
        environment: further variables.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        wanted = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        os.environ.clear()
        os.environ.update({**installation.environment, **wanted, **environment})
        os.execv(sys.executable, [sys.executable, "-m", "nepiq.controller.cli", *command])
    written = b""
    while True:
        select.select([terminal], [], [], 60.0)
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        written += data
        if interrupt_at and interrupt_at in written:
            os.write(terminal, b"\x03")
            interrupt_at = b""
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == code, written.decode()
    return written.decode()


def test_ctrl_c_on_a_terminal_reaches_the_script_once(shared: Installation) -> None:
    ending = EXPERIMENT + "\nec.wait_finished()"
    script = shared.script(ending.replace('"shown"', '"pressed"'))
    text = on_a_terminal(shared, "run", str(script), interrupt_at=b"said by the script", code=130)
    assert "releasing run" in text
    assert "Traceback" not in text
    assert "the workers go on releasing" not in text
    (run,) = [run for run in shared.runs() if run["exp_id"] == "pressed"]
    assert run["phase"] == "RELEASED"


def test_top_is_live_until_ctrl_c(shown: Installation) -> None:
    text = on_a_terminal(shown, "top", interrupt_at=b"RUNNING")
    assert "Traceback" not in text
    assert "nepiq.default" in text


def test_run_draws_a_table_on_a_terminal(shared: Installation) -> None:
    script = shared.script(EXPERIMENT + "\nec.shutdown()")
    text = on_a_terminal(shared, "run", str(script))
    assert "\x1b[?25l" in text  # the cursor is hidden while the table is live
    assert "\x1b[?25h" in text
    assert "said by the script" in text
    assert "█" in text
    assert text.index("said by the script") < text.index("█")


def test_no_color_is_obeyed(shown: Installation) -> None:
    colour = on_a_terminal(shown, "ls")
    plain = on_a_terminal(shown, "ls", NO_COLOR="1")
    assert "\x1b[32m" in colour or "\x1b[90m" in colour
    assert "\x1b[32m" not in plain
    assert "\x1b[90m" not in plain


def test_a_worker_for_another_site(fresh: Installation) -> None:
    worker = fresh.begin("worker", "--site", "lab2", "--concurrency", "2", "--name", "lab2-1")
    try:
        worker.wrote("ready.", 60.0)
        done = fresh.run(
            """
            with ExperimentController("lab2") as ec:
                node = ec.register_resource("linux::Node", site="lab2")
                app = ec.register_resource("linux::Application", command="true", connectedTo=node)
                ec.deploy()
                print(ec.wait_finished(timeout=60))
            """
        )
        assert (done.code, done.out) == (0, "True\n"), done.err
        told = fresh.status()
        assert told is not None
        assert told["clients"] == 1
    finally:
        worker.signal(signal.SIGTERM)
        worker.ended()


def test_a_worker_without_a_redis_says_so(fresh: Installation) -> None:
    done = fresh.nepiq("worker", NEPIQ_BROKER_URL="redis://127.0.0.1:1/0")
    assert done.code == 3
    assert done.seconds < 15
    assert "does not answer" in done.complaint


def test_release_bounded_in_time(fresh: Installation) -> None:
    text = """
    ec = ExperimentController("slow")
    node = ec.register_resource("linux::Node")
    ec.register_resource("linux::Application", connectedTo=node, startedWhen="output:up",
                         command="trap '' TERM; echo up; while :; do sleep 1; done")
    ec.deploy()
    assert ec.wait_started(timeout=60)
    ec.detach()
    """
    assert fresh.run(text).code == 0
    done = fresh.nepiq("release", "slow", "--timeout", "300ms")
    assert done.code == 5
    assert "not released after 0.3 s" in done.complaint
    assert fresh.nepiq("release", "last").code == 0
    assert fresh.runs()[0]["phase"] == "RELEASED"


def test_waiting_outlives_a_restart_of_redis(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        stand.start_worker()
        with stand.experiment() as ec:
            first, second = (ec.register_resource("nepiq::Null") for _ in range(2))
            ec.register_condition(first, "STOP", first, "STARTED", "3s")
            ec.register_condition(second, "START", first, "STOPPED")
            ec.deploy()
            assert ec.wait_started(first, timeout=30)
            stand.stop_redis()
            stand.start_redis()
            assert ec.wait_started(second, timeout=60)


def test_wait_says_that_workers_have_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nepiq.controller.experiment import waiting

    monkeypatch.setattr(waiting, "SILENCE", 0.5)
    with Stand(tmp_path) as stand:
        worker = stand.start_worker()
        with stand.experiment() as ec:
            guid = ec.register_resource("nepiq::Null")
            ec.deploy()
            assert ec.wait_started(timeout=30)
            worker.signal(signal.SIGTERM)
            worker.ended()
            with pytest.raises(TimeoutError):
                ec.wait_finished(guid, timeout=3)
            said = [r.message for r in caplog.records if r.message.startswith("no worker serves")]
            assert len(said) == 1
            stand.start_worker()


def test_a_deploy_without_workers_leaves_nothing(tmp_path: Path) -> None:
    import dataclasses

    with Stand(tmp_path) as stand:
        settings = dataclasses.replace(stand.settings, worker_timeout=0.5)
        from nepiq.controller import NoWorker

        ec = ExperimentController("nobody", settings=settings, quiet=True)
        ec.register_resource("nepiq::Null")
        with pytest.raises(NoWorker, match=r"waited 0\.5 s"):
            ec.deploy()
        ec.shutdown()
        backend: Any = Backend(stand.settings)
        until(lambda: backend.runs()[0].phase == "RELEASED", 20.0, "the run stayed")
        backend.close()
