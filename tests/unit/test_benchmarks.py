"""The benchmark harness: sides take turns, and a side that fails does not stop the others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.benchmarks import crate, throughput
from tests.benchmarks.measure import Budget, Measured, Outcome, Samples, Workload, measure
from tests.benchmarks.report import table, write
from tests.benchmarks.ssh_hosts import ACCOUNTS, Hosts, Localhost, ssh_hosts
from tests.benchmarks.ssh_scripts import SCRIPTS

TASKS = ("fan", "chain", "exit", "copy")


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def side(calls: list[str]) -> Callable[[str, float], Callable[[], Samples]]:
    def make(name: str, seconds: float) -> Callable[[], Samples]:
        def run() -> Samples:
            calls.append(name)
            return [seconds]

        return run

    return make


def test_sides_take_turns_after_an_unmeasured_round(calls, side) -> None:
    workload = Workload("w", "a span", {"nepiq": side("nepiq", 0.1), "peer": side("peer", 0.2)})
    outcomes = measure(workload, rounds=2)
    assert calls == ["nepiq", "peer", "peer", "nepiq", "nepiq", "peer"]
    assert outcomes["nepiq"].samples == [0.1, 0.1]


def test_a_failing_side_leaves_the_others(side) -> None:
    def broken() -> Samples:
        raise ConnectionError("no broker")

    outcomes = measure(Workload("w", "a span", {"a": broken, "b": side("b", 1.0)}), rounds=3)
    assert outcomes["a"].error == "ConnectionError: no broker"
    assert outcomes["b"].samples == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (19, 19), (20, 19), (100, 95)])
def test_p95_is_the_nearest_rank(count: int, expected: int) -> None:
    outcome = Outcome([float(value) for value in range(count, 0, -1)])
    assert outcome.p95 == expected


def test_costs_are_shown_for_each_application() -> None:
    spent = [dict.fromkeys(throughput.KINDS, seconds) for seconds in (0.1, 0.3, 0.2)]
    samples = [throughput.Sample(0.5, 0.75, item) for item in spent]
    assert throughput.row((4, 5, 2), samples) == (
        "| 4 x 5 | 2 | 0.50 s | 0.75 s | 40/s | 10.0 | 10.0 | 10.0 | 10.0 | 10.0 | 50.0 |"
    )


def test_table_shows_ratio_and_budget() -> None:
    workload = Workload("w", "a span", {}, budgets=(Budget("median", 0.01),))
    lines = list(table(workload, {"nepiq": Outcome([0.02]), "peer": Outcome([0.01])}))
    assert lines[0] == "a span (budget: median 10 ms)"
    assert lines[2].endswith("over budget")
    assert lines[3].split()[-1] == "2"


def test_file_holds_every_sample(tmp_path: Path) -> None:
    workload = Workload("w", "a span", {}, budgets=(Budget("median", 0.01),))
    path = write(tmp_path, [(workload, {"nepiq": Outcome([0.5, 0.25]), "x": Outcome(error="no")})])
    (written,) = json.loads(path.read_text())["workloads"]
    assert written["sides"]["nepiq"]["samples"] == [0.5, 0.25]
    assert written["sides"]["x"] == {"error": "no"}
    assert written["budgets"] == {"median": 0.01}


@pytest.fixture
def against_a_rival() -> tuple[Workload, dict[str, Outcome]]:
    """nepiq cold takes twice as long as its rival, nepiq warm half as long."""
    workload = Workload("w", "a span", {}, budgets=(Budget("ratio", 1.0),), rival="rival")
    outcomes = {name: Outcome() for name in ("nepiq cold", "nepiq warm", "rival")}
    outcomes["nepiq cold"].add(Measured([0.2], {"CPU s": 0.5, "logins": 4}))
    outcomes["nepiq warm"].add(Measured([0.05], {"CPU s": 0.25, "logins": 0}))
    outcomes["rival"].add([0.1])
    return workload, outcomes


def test_with_a_rival_every_side_is_compared_with_it(against_a_rival) -> None:
    lines = list(table(*against_a_rival))
    assert lines[0] == "a span (budget: 1 of rival)"
    assert lines[1].split()[-4:] == ["it:rival", "CPU", "s", "logins"]
    assert lines[2].split()[-5:] == ["2", "0.5", "4", "over", "budget"]
    assert lines[3].split()[-3:] == ["0.5", "0.25", "0"]
    assert lines[4].split()[-1] == "1"  # the number of samples: no ratio, and no costs known


def test_file_holds_every_cost(against_a_rival, tmp_path: Path) -> None:
    (written,) = json.loads(write(tmp_path, [against_a_rival]).read_text())["workloads"]
    assert written["sides"]["nepiq cold"]["costs"] == {"CPU s": [0.5], "logins": [4]}
    assert "costs" not in written["sides"]["rival"]


def test_costs_of_the_unmeasured_round_do_not_count() -> None:
    workload = Workload("w", "a span", {"a": lambda: Measured([1.0], {"logins": 1})})
    assert measure(workload, rounds=2)["a"].costs == {"logins": [1, 1]}


def test_a_budget_on_the_ratio_needs_a_rival_that_was_measured() -> None:
    ratio = [Budget("ratio", 1.0)]
    assert Outcome([0.2]).over(ratio, Outcome([0.1])) == ratio
    assert Outcome([0.1]).over(ratio, Outcome([0.1])) == []
    assert Outcome([0.2]).over(ratio, Outcome(error="refused")) == []


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path, ["127.0.0.2", "127.0.0.3"], 2222, max_sessions=10)


def test_an_account_is_new_once(hosts: Hosts) -> None:
    accounts = {hosts.new_account() for _ in range(ACCOUNTS - 1)} | {hosts.known_account()}
    assert len(accounts) == ACCOUNTS
    with pytest.raises(RuntimeError, match="ask for fewer rounds"):
        hosts.new_account()


def test_logins_are_counted_over_all_hosts(hosts: Hosts) -> None:
    for address, count in (("127.0.0.2", 1), ("127.0.0.3", 2)):
        line = f"Accepted publickey for bench000 from {address} port 1 ssh2\n"
        (hosts.folder / f"{address}.log").write_text(line * count + "Connection closed\n")
    assert hosts.accepted() == 3


def test_localhost_stands_for_any_number_of_hosts(tmp_path: Path) -> None:
    logins = Localhost(tmp_path, [], 0, max_sessions=10).logins(3, "bench000")
    assert [login.hostname for login in logins] == ["localhost"] * 3
    assert {login.port for login in logins} == {0}
    assert all(Path(login.home).is_dir() for login in logins)


def test_without_root_the_ssh_hosts_say_what_they_need(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(RuntimeError, match="--localhost"), ssh_hosts(tmp_path / "ssh", 1, 10):
        pass


def test_every_script_that_is_measured_exists() -> None:
    names = {f"{side}_{task}.py" for side in ("nepiq", "nepi_ng") for task in TASKS}
    names.add("nepiq_pings.py")
    assert names == {path.name for path in SCRIPTS.glob("*.py")}


def test_the_ssh_workloads_are_listed(capsys) -> None:
    # Needs the peers' packages, as make has installed them.
    main = pytest.importorskip("tests.benchmarks.__main__").main
    assert main(["--only", "ssh", "--list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    workloads = ["one", "4x5", "20x20", "chain", "exit", "pings", "copy"]
    assert names == [f"ssh-{name}" for name in workloads]


@pytest.mark.slow
def test_the_crate_of_a_campaign_is_measured(capfd) -> None:
    for module in ("pandas", "polars", "pyarrow", "rocrate"):
        pytest.importorskip(module)
    crate.main(4, 2)
    told = capfd.readouterr().out
    assert re.search(r"^exported in .* s of CPU$", told, re.M)
    assert re.search(r"^1\.1 MB$", told, re.M)
    assert "polars, Parquet: {'campaign': String" in told
