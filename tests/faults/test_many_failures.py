"""Two hundred resources of which ten fail: what is told of them, and what goes on."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tests.e2e.installation import Done, Installation
from tests.stand import bearers

pytestmark = [
    pytest.mark.needs("redis-server"),
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("faults-clients"),
]

SIZE, BAD = 200, 10

# Ten chains of twenty; in each the resources wait for the end or the start of the one before.
# Every third is an application, and so are those that fail.
SCRIPT = """
import json
from nepiq.controller import ExperimentFailed
BAD, CRITICAL = {bad}, {critical}
ec = ExperimentController("many", quiet=True)
node = ec.register_resource("linux::Node", label="node")
for n in range({size} - 1):
    if n in BAD or n % 3 == 0:
        command = f"echo line-{{n}} >&2; exit {{n % 100 + 1}}" if n in BAD else "exit 0"
        ec.register_resource("linux::Application", label=f"r{{n}}", connectedTo=node,
                             command=command, critical=n not in BAD or n in CRITICAL)
    else:
        ec.register_resource("nepiq::Null", label=f"r{{n}}")
        ec.register_condition(f"r{{n}}", STOP, f"r{{n}}", STARTED)
    if n >= 10:
        state = FINISHED if n % 2 else STARTED
        ec.register_condition(f"r{{n}}", START, f"r{{n - 10}}", state)
ec.deploy()
told = {{"finished": ec.wait_finished(timeout=100)}}
told["deployed"] = ec.wait_deployed(timeout=0)
told["ecstate"] = ec.ecstate.name
told["states"] = {{f"r{{n}}": ec.state(f"r{{n}}", hr=True) for n in range({size} - 1)}}
told["codes"] = {{f"r{{n}}": ec.get(f"r{{n}}", "exitCode") for n in BAD}}
told["failures"] = [
    [f.label, f.critical, f.kind, f.info.get("code"), f.message] for f in ec.failures
]
told["first"] = ec.wait_started("r0", timeout=30)
ec.register_resource("nepiq::Null", label="more")
try:
    ec.deploy("more")
    told["more"] = ec.wait_started("more", timeout=30)
except ExperimentFailed as error:
    told["more"] = str(error)
ec.release()
told["released"] = ec.wait_released(timeout=0)
told["after"] = sorted({{ec.state(guid, hr=True) for guid in ec.resources}} - {{"NEW"}})
told["end"] = ec.ecstate.name
told["run"] = ec.run_id
print(json.dumps(told))
"""


def carry_out(user: Installation, bad: set[int], critical: set[int]) -> tuple[Done, Any]:
    """``nepiq run`` the experiment; what the script told."""
    done = user.run(SCRIPT.format(bad=bad, critical=critical, size=SIZE), timeout=150.0)
    assert done.out, done.err
    return done, json.loads(done.out)


def drawn(seed: int) -> set[int]:
    """Who fails; none at the end of a chain, so that somebody waits for each."""
    return set(random.Random(seed).sample(range(SIZE - 20), BAD))


def test_ten_failures_that_are_not_critical(user: Installation) -> None:
    bad = drawn(1)
    done, told = carry_out(user, bad, set())
    assert done.code == 0, done.err
    assert told["finished"] is told["deployed"] is told["first"] is told["more"] is True
    assert told["ecstate"] == "RUNNING"
    for label, state in told["states"].items():
        n = int(label[1:])
        wanted = "FAILED" if n in bad else "STOPPED" if n % 3 else "FINISHED"
        assert state == wanted, label
    assert told["codes"] == {f"r{n}": n % 100 + 1 for n in bad}
    found = {label: rest for label, *rest in told["failures"]}
    assert found.keys() == {f"r{n}" for n in bad}
    for n in bad:
        critical, kind, code, message = found[f"r{n}"]
        assert (critical, kind, code) == (False, "CommandError", n % 100 + 1)
        assert f"line-{n}" in message
        assert f"failed: r{n}: " in done.err
    assert told["released"] is True
    assert (told["after"], told["end"]) == (["RELEASED"], "RELEASED")
    assert bearers(told["run"]) == []


def test_one_of_them_critical(user: Installation) -> None:
    bad = drawn(2)
    fatal = [n for n in sorted(bad) if n % 2][2]  # the next in its chain waits for its end
    done, told = carry_out(user, bad, {fatal})
    assert done.code == 1, done.err
    assert told["finished"] is told["deployed"] is False
    assert told["ecstate"] == "FAILED"
    assert told["states"][f"r{fatal}"] == "FAILED"
    assert "run is FAILED" in told["more"]
    # Critical failures come first, and the first of these is the cause of all others.
    first, *others = told["failures"]
    assert first[:4] == [f"r{fatal}", True, "CommandError", fatal % 100 + 1]
    known = {label for label, *_ in told["failures"]}
    for label, critical, kind, _, message in others:
        if int(label[1:]) in bad and kind:
            assert (critical, kind) == (False, "CommandError")
        else:
            needed = message.split()[1]
            assert message.startswith("needs ")
            assert message.endswith(", which failed")
            assert needed in known
            assert needed == f"r{int(label[1:]) - 10}"
    assert f"r{fatal + 10}" in known
    assert told["released"] is True
    assert (told["after"], told["end"]) == (["RELEASED"], "RELEASED")
    assert bearers(told["run"]) == []
