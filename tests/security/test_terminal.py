"""What hosts say reaches terminals as text, and files and pipes byte for byte."""

from __future__ import annotations

import json
import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(180)]

#: Clears the screen, renames the window, changes colours by C1, turns the direction of writing.
ACTING = ["\x1b[2J", "\x1b]0;owned\x07", "\x07", "\x9b31m", "\u202e", "\u2066", "\x7f"]
SAID = "begin " + "".join(ACTING) + "\rover\nnepiq: all is well\n"
SHOWN = r"begin \x1b[2J\x1b]0;owned\x07\x07\x9b31m\u202e\u2066\x7f"
SCRIPT = f"""
said = {SAID!r}
ec = ExperimentController("evil")
node = ec.register_resource("linux::Node", label="here")
app = ec.register_resource(
    "linux::Application", label="app", command="cat >&2; exit 3", stdin=said, connectedTo=node,
    critical=CRITICAL,
)
ec.deploy()
ec.wait_finished(app)
"""


def on_a_terminal(
    installation: Installation, *command: str, code: int | None = 0
) -> tuple[str, list[str]]:
    """What a command writes to a terminal, all of it and line by line."""
    pid, terminal = pty.fork()
    if pid == 0:
        wanted = {"TERM": "xterm-256color", "COLUMNS": "300", "LINES": "50"}
        os.environ.clear()
        os.environ.update({**installation.environment, **wanted})
        os.execv(sys.executable, [sys.executable, "-m", "nepiq.controller.cli", *command])
    written = b""
    try:
        # Linux answers with an error once the other side has closed.
        while data := os.read(terminal, 65536):
            written += data
    except OSError:
        pass
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    text = written.decode()
    assert code is None or os.waitstatus_to_exitcode(status) == code, text
    return text, text.splitlines()


def harmless(text: str) -> None:
    """Nothing that the host said acts, or looks like a line of nepiq."""
    assert [said for said in ACTING if said in text] == []
    assert "\nnepiq: all is well" not in text.replace("\r", "\n")


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with a run whose application said it."""
    made = Installation(tmp_path_factory.mktemp("evil"))
    try:
        script = made.script(SCRIPT.replace("CRITICAL", "False") + "ec.detach()")
        done = made.python(script).ended()
        assert done.code == 0, done.err
        harmless(done.err)
        yield made
        made.nepiq("release", "evil")
    finally:
        made.close()


@pytest.mark.parametrize(
    "verb",
    ["status last", "status last --timeline", "why last app", "logs last", "trace last app stderr"],
)
def test_on_a_terminal_it_is_text(evil: Installation, verb: str) -> None:
    text, _ = on_a_terminal(evil, *verb.split())
    harmless(text.replace("\r\nnepiq: all is well", "") if verb.startswith("trace") else text)
    assert SHOWN in text


@pytest.mark.parametrize("verb", ["ls", "doctor", "top --once"])
def test_nothing_else_brings_it(evil: Installation, verb: str) -> None:
    text, _ = on_a_terminal(evil, *verb.split(), code=None)
    assert "ok" in text or "evil" in text
    harmless(text)


def test_messages_into_a_pipe_are_text_too(evil: Installation) -> None:
    for verb in ("status last", "why last app"):
        done = evil.nepiq(*verb.split(), COLUMNS="400")
        harmless(done.out)
        assert SHOWN in done.out


def test_outputs_into_a_pipe_are_as_they_were(evil: Installation, tmp_path: Path) -> None:
    assert evil.nepiq("results", "last", tmp_path).code == 0
    assert (tmp_path / "app" / "stderr").read_bytes() == SAID.encode()
    # As bytes: to read them as text would translate the ends of lines.
    for verb, expected in (
        ("trace last app stderr", SAID),
        ("logs last app", "".join(f"app ! {line}\n" for line in SAID[:-1].split("\n"))),
    ):
        process = evil.begin(*verb.split())
        assert process.ended().code == 0
        assert process.out.read_bytes() == expected.encode()


def test_json_is_the_same_data_without_control_characters(evil: Installation) -> None:
    out = evil.nepiq("why", "last", "app", "--json").out
    assert [said for said in ACTING if said in out] == []
    assert SHOWN in json.loads(out)["reasons"][0]


def test_the_page_and_pictures_show_text(evil: Installation, tmp_path: Path) -> None:
    for verb, file in (("timeline last --html", "page.html"), ("plot last -o", "plot.svg")):
        path = tmp_path / file
        assert evil.nepiq(*verb.split(), path).code == 0
        text = path.read_text()
        assert [said for said in ACTING if said in text] == []
        assert r"owned\x07" in text.replace("\\\\", "\\")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_worker_logs_no_line_of_a_host(tmp_path: Path, form: str) -> None:
    forged = "/proc/x\n[2026-01-01 00:00:00,000: INFO MainProcess] forged \x1b[2J\u202e\x9b31m"
    with Stand(tmp_path, NEPIQ_LOG_FORMAT=form) as stand:
        worker = stand.start_worker(wait=False)
        with stand.experiment("forged") as ec:
            node = ec.register_resource("linux::Node", home=forged, critical=False)
            ec.deploy()
            assert ec.wait_deployed(node, timeout=60)
            (failure,) = ec.failures
            harmless(str(failure))
            assert "forged" in str(failure)
        lines = [line for line in worker.text().splitlines() if "forged" in line]
    assert lines
    for line in lines:
        assert not line.startswith("[2026-01-01")
        assert [said for said in ACTING if said in line] == []


@pytest.mark.parametrize("more", [[], ["-q"]])
def test_a_run_on_a_terminal(evil: Installation, more: list[str]) -> None:
    script = evil.script(SCRIPT.replace("CRITICAL", "True"), "critical.py")
    text, _ = on_a_terminal(evil, "run", *more, str(script), code=1)
    harmless(text)
    assert SHOWN in text
