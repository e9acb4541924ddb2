"""Descriptions in files on the command line, and of runs that go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.installation import Installation

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "examples" / "hello.yaml"


def test_the_example_runs(shared: Installation) -> None:
    done = shared.nepiq("run", HELLO)
    assert done.code == 0, done.err
    assert "of hello: RELEASED" in done.err
    assert "Hello from the server" in done.err
    assert shared.nepiq("trace", "last", "client").out.strip() == "Hello from the server"


def test_a_description_that_fails(shared: Installation) -> None:
    path = shared.folder / "fails.json"
    path.write_text(
        json.dumps(
            {
                "nepiq": 1,
                "resources": {
                    "here": {"type": "linux::Node"},
                    "app": {
                        "type": "linux::Application",
                        "node": "here",
                        "command": "exit 3",
                    },
                },
            }
        )
    )
    done = shared.nepiq("run", path)
    assert done.code == 1
    assert "of fails: RELEASED" in done.err
    assert "app" in done.complaint


def test_a_wrong_description_is_not_run(fresh: Installation) -> None:
    path = fresh.folder / "wrong.yaml"
    path.write_text("nepiq: 1\nresources:\n  a: {type: x}\n  b: {type: linux::Application}\n")
    for verb in ("run", "validate"):
        done = fresh.nepiq(verb, path)
        assert done.code == 2
        lines = done.err.splitlines()
        assert lines[0].startswith(f"nepiq: {path}:3:13: unknown resource type 'x'")
        assert lines[1].startswith(f"nepiq: {path}:4:3: connection 'node' is missing")
        assert len(lines) == 2
    assert fresh.status() is None
    assert fresh.nepiq("run", path, "argument").complaint.endswith(
        "write options of nepiq run before the file)"
    )


def test_validate_convert_schema(fresh: Installation) -> None:
    xml = ROOT / "tests" / "unit" / "model" / "nepi" / "ping.xml"
    yaml, again = fresh.folder / "ping.yaml", fresh.folder / "again.json"
    done = fresh.nepiq("convert", xml, yaml)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"{xml}:8:9: attribute 'ip' is obsolete and ignored\n"
    assert fresh.nepiq("convert", yaml, again).code == 0
    assert fresh.nepiq("convert", again).out == yaml.read_text()
    done = fresh.nepiq("validate", HELLO, yaml, again)
    assert done.out.splitlines() == [f"{path}: ok: 3 resources" for path in (HELLO, yaml, again)]
    assert fresh.nepiq("convert", yaml, yaml).code == 2
    assert json.loads(fresh.nepiq("schema").out)["required"] == ["nepiq"]
    assert fresh.status() is None


def test_a_run_is_described_by_whoever_attaches(shared: Installation) -> None:
    done = shared.python(
        shared.script(
            """
            ec = ExperimentController("attached")
            ec.register_resource("linux::Node", label="here")
            ec.register_resource("linux::Application", label="app", connectedTo="here")
            ec.register_resource("nepiq::Null", label="end")
            ec.register_condition("end", START, ["here", "app"], STARTED, "1ms")
            text = ec.serialize()
            ec.deploy()
            ec.schedule("1h", ec.release)  # no part of the description
            ec.wait_started("end")
            ec.get("here", "os"), ec.get("app", "exitCode")
            other = ExperimentController.attach(ec.detach())
            print(text == other.serialize(), text, other.serialize())
            other.release()
            """
        )
    ).ended()
    assert done.code == 0, done.err
    assert done.out.startswith("True"), done.out
