"""The examples work as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.e2e.installation import Installation

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_demo(shared: Installation) -> None:
    done = shared.nepiq("run", EXAMPLES / "demo.py")
    assert done.code == 0, done.err
    assert done.out.count("Hello from the server") == 3
    assert "the server saw 3 requests" in done.out
    assert "served 3 clients" in done.out


def test_a_script_of_nepi_with_another_import(shared: Installation) -> None:
    done = shared.python(EXAMPLES / "nepi_port.py").ended()
    assert (done.code, done.out, done.err) == (0, "server: HOLA\nclient: CLIENT STARTED\n", "")


def test_the_offset_of_the_script_of_nepi_is_kept(shared: Installation) -> None:
    text = (EXAMPLES / "nepi_port.py").read_text()
    head, _, tail = text.partition("ec.shutdown()")
    path = shared.folder / "timed.py"
    path.write_text(
        head
        + "record = {r.guid: r for r in ec._replica.records()}\n"
        + "print(record[client].milestones['STARTED'] - record[server].milestones['STARTED'])\n"
        + "ec.shutdown()"
        + tail
    )
    done = shared.python(path).ended()
    assert done.code == 0, done.err
    assert float(done.out.splitlines()[-1]) >= 2.0


def test_a_campaign(shared: Installation) -> None:
    script = EXAMPLES / "campaign.py"
    python = (sys.executable, "-u", script, shared.folder / "kept")
    done = shared.start(*python).ended()
    assert (done.code, done.err) == (0, "")
    *runs, told = done.out.splitlines()
    assert [line.split(":")[0] for line in runs] == [f"run {n + 1}" for n in range(len(runs))]
    assert told.startswith(f"{len(runs)} runs: ")
    assert 3 <= len(runs) <= 12
    # What is kept in the folder needs no further run.
    again = shared.start(*python).ended()
    assert (again.code, again.out, again.err) == (0, told + "\n", "")


def test_the_first_example_of_the_quickstart(shared: Installation) -> None:
    page = (EXAMPLES.parent / "docs" / "quickstart.md").read_text()
    block = page.split("```python\n")[1].split("```")[0]
    path = shared.folder / "hello.py"
    path.write_text(block)
    done = shared.python(path).ended()
    assert (done.code, done.out, done.err) == (0, "hello\n\n", "")
