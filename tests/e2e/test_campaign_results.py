"""Metrics, files and causes of real runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.lab import Lab, app, node

from nepiq.controller.campaign.causes import Blame, cause_of
from nepiq.controller.campaign.file_store import FileStore, blocks_of
from nepiq.controller.campaign.metrics import evaluate, parse_all
from nepiq.controller.campaign.row import Row, read_rows
from nepiq.controller.campaign.table import Table

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid", "ping"),
    pytest.mark.timeout(120),
]

PROGRAM = r"""
printf '%s' '{"end": {"sum": {"bytes": 1500, "ok": true}}}' >report.json
printf 'time,queue\n0.5,1\n1.0,4\n' >queue.csv
: >empty.csv
echo 'loss 2.5%, delay 10 ms'; exit 3
"""


def test_metrics_and_files_of_a_run(lab: Lab, tmp_path: Path) -> None:
    ec = lab.experiment("results")
    node(ec)
    app(ec, "app", PROGRAM, okExitCodes="3")
    ec.register_resource(
        "linux::Ping",
        label="ping",
        target="127.0.0.1",
        count=2,
        interval="10ms",
        connectedTo="here",
    )
    ec.deploy()
    assert ec.wait_finished(["app", "ping"], timeout=60)
    metrics = parse_all(
        {
            "received": "ping.received",
            "code": "app.exitCode",
            "loss": {"label": "app", "trace": "stdout", "regex": r"loss ([\d.]+)%"},
            "bytes": {"label": "app", "trace": "report.json", "jsonpath": "$.end.sum.bytes"},
            "ok": {"label": "app", "trace": "report.json", "jsonpath": "$.end.sum.ok"},
            "queue": {"label": "app", "trace": "queue.csv", "csv": "queue", "take": "mean"},
            "phase": "tests.e2e.test_campaign_results:phase",
            "typo": "app.exitCod",
            "empty": {"label": "app", "trace": "empty.csv", "csv": "queue"},
            "none": {"label": "app", "trace": "no.json", "jsonpath": "$"},
        }
    )
    measured = evaluate(metrics, ec)
    assert measured.values == {
        "received": 2,
        "code": 3,
        "loss": 2.5,
        "bytes": 1500,
        "ok": True,
        "queue": 2.5,
        "phase": "RUNNING",
        "typo": None,
        "empty": None,
        "none": None,
    }
    assert "did you mean 'exitCode'" in measured.reasons["typo"]
    assert measured.reasons["empty"] == "empty.csv of app is empty"
    assert "unknown trace 'no.json'" in measured.reasons["none"]

    store = FileStore(tmp_path / "results")
    ec.download("app", "queue.csv", tmp_path / "queue.csv")
    for run in (ec.run_id, "again"):
        store.add(run, [("app", "queue.csv", blocks_of(tmp_path / "queue.csv"))])
    assert len(list((tmp_path / "results" / "files").glob("*/*"))) == 1
    series = Table.of_traces(store.traces("app", "queue.csv"))
    assert [(record["run_id"], record["queue"]) for record in series] == [
        *((ec.run_id, 1), (ec.run_id, 4), ("again", 1), ("again", 4))
    ]

    row = Row("c", "p", {"rate": 6}, 1, 7, ec.run_id, metrics=measured.values, error=str(measured))
    path = tmp_path / "rows.jsonl"
    path.write_text(row.to_json() + "\n")
    assert list(read_rows(path)) == [row]
    Table.read(path).to_jsonl(tmp_path / "table.jsonl")
    record = json.loads((tmp_path / "table.jsonl").read_text())
    assert (record["rate"], record["metric.loss"], record["metric.ok"]) == (6, 2.5, True)


def phase(ec: object) -> str:
    """A metric that workers import."""
    return str(ec.phase)  # type: ignore[attr-defined]


def test_failures_of_two_runs_have_one_cause(lab: Lab) -> None:
    causes = []
    for _ in range(2):
        ec = lab.experiment("causes")
        node(ec)
        app(ec, "app", 'echo "$PWD/x: pid $$ at $(date)" >&2; exit 4')
        ec.deploy()
        assert not ec.wait_finished("app", timeout=60)
        causes.append(cause_of(ec.failures))
    one, other = causes
    assert one is not None
    assert one == other
    assert one.blame is Blame.EXPERIMENT
    assert str(one) == "CommandError app: exited with 4: <run>/x: pid <n> at <time>"
    assert one.example != getattr(other, "example", "")


def test_a_host_that_cannot_be_reached_is_to_blame(lab: Lab) -> None:
    ec = lab.experiment("unreachable")
    ec.register_resource(
        "linux::Node",
        label="there",
        hostname="127.0.0.1",
        port=1,
        username="nobody",
        bootTimeout="1s",
    )
    ec.register_resource("linux::Application", label="app", command="true", connectedTo="there")
    ec.deploy()
    ec.wait_finished("app", timeout=60)
    cause = cause_of(ec.failures, ["127.0.0.1"])
    assert cause is not None
    assert cause.blame is Blame.HOST
    assert (cause.kind, cause.label) == ("HostUnreachable", "there")
    assert str(cause).startswith(
        "HostUnreachable there: cannot reach <host> from worker machine <worker>"
    )
