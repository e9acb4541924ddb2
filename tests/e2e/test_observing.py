"""What an operator watches: metrics, the files for Prometheus and Grafana, Flower, logs."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.installation import Installation, Process
from tests.e2e.prometheus import DEPLOY, RULES, Prometheus
from tests.net import answers, code, free_port, get
from tests.stand import Stand, until

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("observing"),
]

APPLICATION = "linux::Application"
WORD = "a very secret word"
PASSWORD = f"nepiq:{WORD}"


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and a worker that serves its metrics."""
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        made.start_worker(NEPIQ_METRICS="127.0.0.1:0")
        yield made


@pytest.fixture(scope="module")
def user(stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Somebody whose environment names that Redis."""
    urls = {name: url for name, url in stand.environment.items() if name.endswith("_URL")}
    made = Installation(tmp_path_factory.mktemp("user"), NEPIQ_MACHINE="here", **urls)
    yield made
    made.close()


@pytest.fixture(scope="module")
def watch(
    stand: Stand, user: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watch]:
    """An exporter, a Flower and, where there is one, a Prometheus, begun side by side."""
    port = free_port()
    exporter = user.begin("metrics", "--listen", "127.0.0.1:0")
    flower = user.begin("flower", "--listen", f"127.0.0.1:{port}", NEPIQ_FLOWER_PASSWORD=WORD)
    exporter.wrote("metrics at")
    made = Watch(
        address(exporter.err.read_text()),
        address(stand.workers[0].text()),
        f"http://127.0.0.1:{port}",
        flower,
    )
    if shutil.which("prometheus"):
        made.prometheus = Prometheus(
            tmp_path_factory.mktemp("prometheus"),
            {"nepiq": made.exporter, "nepiq-workers": made.worker},
        )
    try:
        yield made
    finally:
        if made.prometheus is not None:
            made.prometheus.close()
        for process in (exporter, flower):
            process.signal(signal.SIGTERM)
        assert exporter.ended().code == 0
        flower.ended()


@pytest.fixture(scope="module")
def run_id(stand: Stand, watch: Watch) -> str:
    """An experiment that was carried out while they watched."""
    publisher = stand.backend().publisher

    def followed() -> bool:
        publisher.call("nepiq.announce", "nepiq", ["probe", []], shown="nothing at all")
        return "nothing at all" in get(f"{watch.flower}/api/tasks", PASSWORD)

    until(lambda: answers(f"{watch.flower}/healthcheck"), 60.0, "Flower does not answer")
    # It asks the workers every five seconds to tell what they do.
    until(followed, 20.0, "Flower sees no task")
    with stand.experiment("watched") as ec:
        node = ec.register_resource("linux::Node", hostname="localhost", label="laptop")
        server = ec.register_resource(
            APPLICATION, label="server", command="sleep 300", connectedTo=node
        )
        broken = ec.register_resource(
            APPLICATION,
            label="broken",
            command="sleep 300",
            startedWhen="file:never",
            startTimeout="0.1s",
            connectedTo=node,
            critical=False,
        )
        for n in range(3):
            ec.register_resource("nepiq::Null", label=f"null-{n}")
        ec.deploy()
        ec.wait_started(server)
        ec.wait_finished(broken)
        return ec.run_id


@dataclass
class Watch:
    """Where they answer who watch."""

    exporter: str
    worker: str
    flower: str
    flower_process: Process
    prometheus: Prometheus | None = None


def address(text: str) -> str:
    found = re.search(r"metrics at (\S+)", text)
    assert found, text
    return found.group(1)


def values(url: str) -> dict[str, float]:
    """The samples that a URL gives Prometheus."""
    lines = [line for line in get(url).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


class TestMetrics:
    def test_a_worker_tells_of_its_steps(self, watch: Watch, run_id: str) -> None:
        released = 'nepiq_steps_total{action="release",outcome="done"}'
        # A step is counted when it has been committed, a moment after others know of it. What has
        # failed is released with its host.
        until(lambda: values(watch.worker)[released] >= 5, 10.0, "releases were not counted")
        told = values(watch.worker)
        assert told['nepiq_steps_total{action="deploy",outcome="done"}'] >= 6
        assert told['nepiq_steps_total{action="start",outcome="done"}'] >= 5
        assert told['nepiq_steps_total{action="set",outcome="done"}'] == 0
        ended = sum(value for name, value in told.items() if name.startswith("nepiq_steps_total"))
        assert told["nepiq_step_lateness_seconds_count"] == ended
        assert told['nepiq_step_lateness_seconds_bucket{le="60.0"}'] == ended
        assert told['nepiq_step_duration_seconds_count{action="release"}'] >= 5
        assert told["nepiq_steps_executing"] == 0
        assert told["nepiq_worker_slots"] == 16
        assert told['nepiq_hosts{state="open"}'] == 1
        assert abs(told["nepiq_clock_ahead_seconds"]) < 10
        assert run_id not in get(watch.worker)

    def test_an_exporter_tells_of_the_installation(
        self, stand: Stand, watch: Watch, run_id: str
    ) -> None:
        with stand.experiment("counted") as ec:
            first = ec.register_resource("nepiq::Null")
            for _ in range(4):
                last = ec.register_resource("nepiq::Null")
            ec.deploy()
            ec.wait_started([first, last])
            told = values(watch.exporter)
            assert told["nepiq_redis_up"] == 1
            assert told['nepiq_runs{phase="RUNNING"}'] == 1
            assert told['nepiq_resources{state="STARTED"}'] == 5
            ec.stop(last)
            ec.wait_finished(last)
            ec.register_resource("nepiq::Null")
            ec.deploy(wait_all_ready=False)
            told = values(watch.exporter)
            assert told['nepiq_resources{state="STOPPED"}'] == 1
            states = (value for name, value in told.items() if name.startswith("nepiq_resources"))
            assert sum(states) == 6
        released = 'nepiq_runs{phase="RELEASED"}'
        until(lambda: values(watch.exporter)[released] >= 2, 10.0, "the runs are not on record")
        told = values(watch.exporter)
        assert told['nepiq_runs{phase="RUNNING"}'] == 0
        assert told['nepiq_workers_alive{site="default"}'] == 1
        assert told['nepiq_queue_messages{queue="nepiq.default",site="default"}'] == 0
        assert told["nepiq_alarm_overdue_seconds"] < 60
        assert told["nepiq_redis_aof_enabled"] == 1
        assert told["nepiq_redis_memory_used_bytes"] > 1e5

    def test_without_redis_and_without_a_free_port(self, tmp_path: Path) -> None:
        with Stand(tmp_path) as stand:
            urls = {name: url for name, url in stand.environment.items() if name.endswith("_URL")}
            user = stand.owned(Installation(tmp_path / "user", **urls))
            process = user.begin("metrics", "--listen", "127.0.0.1:0")
            process.wrote("metrics at")
            url = address(process.err.read_text())
            taken = url.removeprefix("http://").removesuffix("/metrics")
            worker = stand.start_worker(wait=False, NEPIQ_METRICS=taken)
            begun = [user.begin(verb, "--listen", taken) for verb in ("metrics", "flower")]
            assert user.nepiq("metrics", "--listen", "9108").code == 2
            for done in (each.ended() for each in begun):
                assert (done.code, taken in done.complaint) == (3, True)
            assert worker.ended() == 3
            assert f"metrics cannot be served at {taken}" in worker.text()
            assert "Traceback" not in worker.text()
            assert values(url)["nepiq_redis_up"] == 1
            stand.stop_redis()
            assert {n: v for n, v in values(url).items() if "nepiq" in n} == {"nepiq_redis_up": 0}
            stand.start_redis()
            assert values(url)["nepiq_redis_up"] == 1
            process.signal(signal.SIGTERM)
            assert process.ended().code == 0


@pytest.fixture(scope="module")
def prometheus(watch: Watch, run_id: str) -> Prometheus:
    """One that has seen an experiment."""
    assert watch.prometheus is not None
    watch.prometheus.ready()
    return watch.prometheus


def panels() -> list[tuple[str, str]]:
    """The queries of the dashboard, each with the title of its panel."""
    dashboard = json.loads((DEPLOY / "grafana" / "nepiq.json").read_text())
    return [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]


@pytest.mark.needs("prometheus", "promtool")
class TestPrometheus:
    def test_every_panel_has_data(self, prometheus: Prometheus) -> None:
        empty = []
        for title, query in panels():
            asked = query.replace("$__rate_interval", "30s")
            if not prometheus.query(asked):
                empty.append((title, query))
        assert panels()
        assert empty == []

    def test_every_alert_is_evaluated_and_knows_its_metrics(self, prometheus: Prometheus) -> None:
        (group,) = yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]:
            prometheus.query(rule["expr"])
            for metric in re.findall(r"\b(?:nepiq_\w+|up\b)", rule["expr"]):
                if metric != "nepiq":
                    assert prometheus.query(metric), (rule["alert"], metric)
        until(
            lambda: all(
                rule["health"] == "ok" and not rule.get("lastError")
                for rule in prometheus.ask("rules")["groups"][0]["rules"]
            ),
            20.0,
            "a rule is not healthy",
        )

    def test_promtool_agrees(self) -> None:
        for check in (
            ["check", "config", "prometheus.yml"],
            ["test", "rules", "nepiq-rules-test.yml"],
        ):
            done = subprocess.run(
                ["promtool", *check],
                cwd=DEPLOY / "prometheus",
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr


class TestFlower:
    def test_nobody_looks_in_without_the_password(self, watch: Watch, run_id: str) -> None:
        for path in ("/", "/tasks", "/workers", "/api/tasks", "/api/workers"):
            assert code(watch.flower + path) == 401, path
            assert code(watch.flower + path, "nepiq:wrong") == 401, path
            assert code(watch.flower + path, PASSWORD) == 200, path
        arguments = Path(f"/proc/{watch.flower_process.process.pid}/cmdline").read_bytes()
        assert b"flower" in arguments
        assert b"secret" not in arguments
        # docs/observing.md says so.
        assert code(f"{watch.flower}/metrics") == code(f"{watch.flower}/healthcheck") == 200
        told = get(f"{watch.flower}/metrics")
        assert "nepiq.start" in told
        assert run_id not in told
        assert "laptop" not in told

    def test_messages_of_queues_are_counted(self, watch: Watch, run_id: str) -> None:
        asked = get(f"{watch.flower}/api/queues/length", PASSWORD)
        counted = {one["name"]: one["messages"] for one in json.loads(asked)["active_queues"]}
        own = "nepiq.default@w0@here"
        assert counted == dict.fromkeys(["nepiq", "nepiq.default", own, "nepiq.m.here"], 0)
        assert code(f"{watch.flower}/broker", PASSWORD) == 200

    def test_nothing_is_ended_from_a_browser(self, watch: Watch, run_id: str) -> None:
        assert code(f"{watch.flower}/api/worker/shutdown/w0@here", PASSWORD, b"") == 403

    def test_a_task_says_run_resource_action_and_attempt(self, watch: Watch, run_id: str) -> None:
        def tasks() -> list[dict[str, Any]]:
            told = json.loads(get(f"{watch.flower}/api/tasks", PASSWORD)).values()
            return [task for task in told if run_id in str(task["args"])]

        def of(text: str) -> list[dict[str, Any]]:
            return [task for task in tasks() if task["args"] == f"{text}, run {run_id}, attempt 1"]

        until(lambda: of("release laptop"), 20.0, "the last task is not seen")
        (start,) = of("start server")
        assert (start["name"], start["state"]) == ("nepiq.start", "SUCCESS")
        assert "server done, attempt 1" in start["result"]
        (broken,) = of("start broken")
        assert "broken failed, attempt 1" in broken["result"]
        for word in ("server", run_id):
            found = json.loads(get(f"{watch.flower}/api/tasks?search={word}", PASSWORD)).values()
            assert found
            assert all(word in task["args"] for task in found)
        (batch,) = of("deploy null-0 null-1 null-2")
        assert "null-1 done" in batch["result"]

    def test_a_password_is_made_up_or_read(self, user: Installation, tmp_path: Path) -> None:
        made = user.begin("flower", "--listen", "127.0.0.1:0")
        made.wrote("password")
        made.signal(signal.SIGTERM)
        assert re.search(r"user nepiq, password \S{16}\n", made.ended().err)
        empty = tmp_path / "empty"
        empty.touch()
        assert user.nepiq("flower", NEPIQ_FLOWER_PASSWORD="one,two").code == 2
        for file in (empty, tmp_path / "missing"):
            done = user.nepiq("flower", "--password-file", file)
            assert (done.code, str(file) in done.complaint) == (2, True)


class TestLogs:
    def test_json(self, user: Installation, stand: Stand) -> None:
        command = ("worker", "--site", "logs", "--name", "logger", "--log-format", "json")
        # A machine of its own: the steps on its localhost must not go to the other worker.
        worker = user.begin(*command, NEPIQ_MACHINE="apart")
        worker.wrote("logger@apart ready")
        with stand.experiment("logged") as ec:
            node = ec.register_resource("linux::Node", hostname="localhost", site="logs", label="n")
            bad = ec.register_resource(
                APPLICATION,
                label="bad",
                command="true",
                startedWhen="output:[",
                connectedTo=node,
                critical=False,
            )
            ec.deploy()
            ec.wait_finished(bad)
        worker.signal(signal.SIGTERM)
        done = worker.ended()
        lines = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
        assert all(
            {"time", "level", "logger", "message"} <= line.keys() and line["time"].endswith("Z")
            for line in lines
        )
        # Celery says on stdout that it is asked to end.
        assert "-------" not in done.out + done.err
        assert "worker_started" in {line.get("event") for line in lines}
        within = [line for line in lines if line.get("label") == "bad"]
        assert within
        for line in within:
            assert (line["run"], line["guid"], line["worker"]) == (ec.run_id, bad, "logger@apart")
            assert (line["step"], line["attempt"]) == (f"{bad}.{line['action']}", 1)

    def test_an_unknown_format_is_refused(self, user: Installation) -> None:
        done = user.nepiq("worker", "--log-format", "xml")
        assert (done.code, "xml" in done.complaint) == (2, True)
