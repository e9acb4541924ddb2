"""nepiq plan tells what nepiq run then does."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.e2e.shells import NotingShell, planned

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def noted(tmp_path: Path) -> Iterator[tuple[Installation, NotingShell]]:
    """An installation whose commands are noted."""
    made = Installation(tmp_path)
    shell = NotingShell(tmp_path / "shell")
    made.environment["PATH"] = f"{shell.path}:{made.environment['PATH']}"
    yield made, shell
    made.close()


def _without_port(commands: Counter[str]) -> Counter[str]:
    """The demo takes another free port each time."""
    return Counter(
        {re.sub(r"(:|http\.server )\d{4,5}\b", r"\1PORT", text): n for text, n in commands.items()}
    )


@pytest.mark.parametrize("example", ["hello.yaml", "demo.py", "nepi_port.py", "campaign.py"])
def test_the_examples(noted: tuple[Installation, NotingShell], example: str) -> None:
    user, shell = noted
    told = user.nepiq("plan", "--json", EXAMPLES / example)
    assert (told.code, told.err) == (0, "")
    assert user.status() is None
    assert not shell.ran()
    done = user.nepiq("run", EXAMPLES / example)
    assert done.code == 0, done.err
    ran, wanted = shell.ran(), planned(told.out)
    assert wanted
    if example == "campaign.py":  # of which each run does the same
        ran = Counter(ran.keys())
        wanted = Counter(wanted.keys())
    assert _without_port(ran) == _without_port(wanted)


def test_in_words(fresh: Installation) -> None:
    done = fresh.nepiq("plan", EXAMPLES / "hello.yaml")
    assert (done.code, done.err) == (0, "")
    assert "laptop (linux::Node): localhost, the worker machine of site default" in done.out
    assert "    start    $ echo 'Hello from the server' > greeting.txt\n" in done.out
    assert "    stop     when client FINISHED\n" in done.out
    assert "    start    when server STARTED + 500 ms\n" in done.out
    assert fresh.status() is None


def test_a_script_is_followed_as_far_as_it_gets(fresh: Installation) -> None:
    script = fresh.script(
        """
        import sys
        assert sys.argv[1:] == ["--count", "2"]
        ec = ExperimentController("steps")
        node = ec.register_resource("linux::Node", label="here")
        first = ec.register_resource("linux::Application", command="nproc", connectedTo=node)
        ec.deploy()
        ec.wait_finished(first)
        print("cpus:", ec.trace(first, "stdout"), ec.state(first, hr=True))
        second = ec.register_resource("linux::Application", command="id -u", connectedTo=node)
        ec.deploy(second)
        count = int(ec.trace(first, "stdout"))
        ec.register_resource("linux::Application", command="never", connectedTo=node)
        ec.deploy()
        """
    )
    done = fresh.nepiq("plan", "--json", script, "--count", "2")
    assert done.code == 0, done.err
    assert planned(done.out) == Counter(["nproc", "id -u"])
    assert [len(plan["resources"]) for plan in json.loads(done.out)] == [2, 1]
    assert re.fullmatch(
        r"the script needs results to continue: line \d+: ValueError: invalid literal.*\n",
        done.err,
    )


def test_a_script_that_detaches_creates_no_run(fresh: Installation) -> None:
    script = fresh.script(
        """
        ec = ExperimentController("left")
        ec.register_resource("nepiq::Null", label="one")
        ec.deploy()
        assert ec.run_id == ec.detach()
        """
    )
    done = fresh.nepiq("plan", script)
    assert (done.code, done.err) == (0, "")
    assert fresh.status() is None


def test_what_is_wrong_is_told(fresh: Installation) -> None:
    done = fresh.nepiq("plan", fresh.script('ec = ExperimentController("x")'))
    assert (done.code, done.complaint.partition(": ")[2].rpartition("/")[2]) == (
        2,
        "script.py: the script ended without a deploy()",
    )
    wrong = fresh.script(
        """
        ec = ExperimentController("x")
        ec.register_resource("linux::Application", command="true")
        ec.deploy()
        """
    )
    done = fresh.nepiq("plan", wrong)
    assert done.code == 2
    assert "missing: connection 'node' of application-1" in done.complaint
    assert fresh.nepiq("plan", "nowhere.py").code == 2
    assert fresh.status() is None
