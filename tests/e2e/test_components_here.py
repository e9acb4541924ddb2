"""What applications are made of, on the worker machine itself."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand, until

from nepiq.controller import ExperimentController
from nepiq.controller.engine.contents import ContentStore
from nepiq.controller.engine.store import keys
from nepiq.controller.errors import FileMissing, HostError, InvalidValue, RedisUnreachable
from nepiq.controller.experiment.deposits import Deposits, reading
from nepiq.controller.reports.why import why

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "gcc", "git", "curl"),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        made.start_worker(threads=8)
        yield made


Experiment = Callable[..., ExperimentController]


@pytest.fixture
def experiment(stand: Stand, tmp_path: Path) -> Iterator[Experiment]:
    """Makes experiments that remember digests in a folder of the test."""
    made: list[ExperimentController] = []
    settings = replace(stand.settings, cache_home=tmp_path / "cache")

    def make(**changes: object) -> ExperimentController:
        made.append(
            ExperimentController("parts", settings=replace(settings, **changes), quiet=True)  # type: ignore[arg-type]
        )
        return made[-1]

    yield make
    for ec in made:
        ec.shutdown()


def applications(ec: ExperimentController, count: int = 1, **options: object) -> list[int]:
    node = ec.register_resource("linux::Node")
    return [
        ec.register_resource("linux::Application", connectedTo=node, **options)
        for _ in range(count)
    ]


def outputs(ec: ExperimentController, count: int = 1, **options: object) -> list[str]:
    """Deploy applications, wait for them, and return what they printed."""
    apps = applications(ec, count, **options)
    ec.deploy()
    assert ec.wait_finished(apps, timeout=60), ec.failures
    return [ec.trace(app, "stdout") for app in apps]


def failure(ec: ExperimentController, count: int = 1, **options: object) -> tuple[int, str, str]:
    """Deploy applications of which the first fails; return it, its message and hint."""
    apps = applications(ec, count, **options)
    ec.deploy()
    assert not ec.wait_finished(apps, timeout=60)
    found = ec.failures[0]
    return (
        found.guid,
        found.message,
        found.hint,
    )


# -- builds ----------------------------------------------------------------------------------------


def test_a_build_that_fails_names_file_and_line(experiment: Experiment, stand: Stand) -> None:
    runs = stand.home / "failing"
    source = "int main (void)\n{\n    return one;\n}\n"
    ec = experiment()
    apps = applications(
        ec, 6, code=source, build=f"echo x >>{runs}; gcc -x c ${{CODE}} -o one", critical=False
    )
    ec.deploy()
    until(lambda: len(ec.failures) == len(apps), 60.0, "not all have failed")
    for found in ec.failures:
        assert "cannot build (exit code 1)" in found.message
        assert "code:3:12: error: " in found.message
        assert "build_stderr" in found.hint
    assert runs.read_text() == "x\n"
    for app in apps:
        assert "undeclared" in ec.trace(app, "build_stderr")
        assert ec.trace(app, "deploy_exitcode") == "1\n"


def test_the_result_of_a_build_is_there_at_each_start(experiment: Experiment) -> None:
    ec = experiment()
    parts = {"build": "echo built >result", "command": "cat result; echo own >result"}
    apps = applications(ec, **parts)
    # A tool and a service start in other ways.
    node = ec.register_resource("linux::Node")
    for rtype, more in (
        ("linux::Ping", {"target": "unused"}),
        ("linux::Service", {"restart": "no"}),
    ):
        apps.append(ec.register_resource(rtype, connectedTo=node, **parts, **more))
    ec.deploy()
    assert ec.wait_finished(apps, timeout=60), ec.failures
    for app in apps:
        ec.start(app)
    assert ec.wait_finished(apps, timeout=60), ec.failures
    assert [ec.trace(app, "stdout") for app in apps] == ["built\n"] * len(apps)


def test_results_have_the_traces_that_were_written(
    experiment: Experiment, user: Installation, tmp_path: Path
) -> None:
    ec = experiment()
    built, plain = applications(ec, 2, command="true")
    ec.set(built, "build", "echo said")
    ec.deploy()
    assert ec.wait_finished([built, plain], timeout=60), ec.failures
    done = user.nepiq("results", ec.run_id, tmp_path / "results")
    assert (done.code, "missing" in done.out + done.err) == (0, False)
    found = {path.name: path.read_text() for path in tmp_path.glob(f"results/*-{built}/*")}
    assert (found["build_stdout"], found["build_exitcode"]) == ("said\n", "0\n")
    assert found["deploy_stdout"] == "said\n"
    assert "install_stdout" not in found
    assert not list(tmp_path.glob(f"results/*-{plain}/*_stdout"))


def test_a_build_that_takes_too_long_is_ended(experiment: Experiment, stand: Stand) -> None:
    _, message, hint = failure(experiment(), build="echo begun; sleep 300", buildTimeout="500ms")
    assert "build did not end within 0.5 s" in message
    assert "buildTimeout" in hint
    assert stand_is_tidy(stand)


def test_a_build_in_its_sources_is_done_again_for_other_sources(
    experiment: Experiment, tmp_path: Path
) -> None:
    source = tmp_path / "project"
    source.mkdir()
    options = {
        "sources": str(source),
        "build": "cd ${SRC}/project && cp input output",
        "command": "cat ${SRC}/project/output",
    }
    # The third time, the place has the first content again, but not what was built in it.
    for word in ("one", "two", "one"):
        (source / "input").write_text(word)
        assert outputs(experiment(), **options) == [word]


def test_twenty_builds_do_not_hold_up_other_hosts(experiment: Experiment, stand: Stand) -> None:
    ec = experiment()
    gate = stand.home / "gate"
    build = f"until [ -e {gate} ]; do sleep 0.05; done; echo once >>{stand.home}/slow"
    slow = applications(ec, 20, build=build, command="true")
    ec.deploy()
    until(
        lambda: any("builds" in (ec.get(app, "activity") or "") for app in slow), 30.0, "no build"
    )
    told = [why(stand.backend().run(ec.run_id), app) for app in slow]
    assert any("builds: until" in text for text in told), told
    other = experiment()
    assert outputs(other, 3, command="echo free") == ["free\n"] * 3
    gate.touch()
    assert ec.wait_finished(slow, timeout=60), ec.failures
    assert (stand.home / "slow").read_text() == "once\n"
    assert {ec.get(app, "activity") for app in slow} == {""}


def stand_is_tidy(stand: Stand) -> bool:
    """Return whether the cache has nothing that is half done."""
    usr = stand.home / ".nepiq/.usr"
    builds = [path for path in (usr / "build").glob("*") if path.is_dir()]
    whole = [path for path in builds if (path / "ready").exists() or (path / "failed").exists()]
    return builds == whole and not list((usr / "part").glob("*"))


# -- what hosts fetch ------------------------------------------------------------------------------


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and counts."""

    requests: list[str]

    def log_message(self, *_: object) -> None:
        """Remember the request instead."""
        type(self).requests.append(self.path)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str, list[str]]]:
    """A folder, the URL at which it is served, and the paths that were asked for."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Counting(Server):
        requests: list[str] = []

    handler = partial(Counting, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}", Counting.requests
        server.shutdown()
        thread.join()


def test_a_url_is_fetched_once_a_host_and_run(
    experiment: Experiment, site: tuple[Path, str, list[str]]
) -> None:
    folder, url, requests = site
    for word in ("old", "new"):
        (folder / "a%20file").write_text(word)
        (folder / "a file").write_text(word)
        requests.clear()
        assert (
            outputs(experiment(), 5, files=f"{url}/a%20file", command="cat ${SHARE}/a\\ file")
            == [word] * 5
        )
        assert [path for path in requests if "file" in path] == ["/a%20file"]


def test_urls_that_cannot_be_used(
    experiment: Experiment, site: tuple[Path, str, list[str]], stand: Stand
) -> None:
    folder, url, _ = site
    (folder / "file").write_text("content")
    _, message, _ = failure(experiment(), sources=f"{url}/absent")
    assert f"cannot fetch {url}/absent: curl: (22)" in message
    app, message, hint = failure(ec := experiment(), sources=f"{url}/file#sha256={'0' * 64}")
    assert f"cannot fetch {url}/file: its SHA-256 is ed7002b4" in message
    assert "deploy_stderr" in hint
    assert "its SHA-256 is" in ec.trace(app, "deploy_stderr")
    assert stand_is_tidy(stand)


def test_a_repository_at_a_commit(experiment: Experiment, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@localhost"]
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    commits = []
    for word in ("one", "two"):
        (folder / "file").write_text(word)
        subprocess.run([*git, "add", "file"], check=True)
        subprocess.run([*git, "commit", "-qm", word], check=True)
        done = subprocess.run(
            [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
        )
        commits.append(done.stdout.strip())
    for word, commit in (("one", commits[0]), ("two", commits[1][:10])):
        source = f"git+file://{folder}@{commit}"
        command = "cat ${SRC}/project/file"
        assert outputs(experiment(), 3, sources=source, command=command) == [word] * 3
    _, message, _ = failure(experiment(), sources=f"git+file://{folder}@{'0' * 40}")
    assert f"cannot fetch commit {'0' * 40} of file://{folder}" in message


# -- scripts ---------------------------------------------------------------------------------------


def test_scripts_large_and_small(experiment: Experiment, tmp_path: Path) -> None:
    script = tmp_path / "probe"
    text = "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n"
    arguments = {"count": 3, "v": True, "n": [1, "a b"], "not": False}
    for more in ("", "# " + "x" * 20_000 + "\n"):
        script.write_text(text + more)
        printed = outputs(experiment(), 2, script=str(script), arguments=arguments)
        assert printed == ["['--count=3', '-v', '-n', '1', '-n', 'a b']\n"] * 2


def test_what_does_not_go_together(experiment: Experiment) -> None:
    for options, message in (
        ({"script": "a", "command": "b"}, "set either command or script"),
        ({"arguments": ["a"], "command": "b"}, "arguments belong to a script"),
        ({"build": "cp x ${NODE_HOME}"}, "build mentions \\${NODE_HOME}"),
    ):
        ec = experiment()
        applications(ec, **options)
        with pytest.raises(InvalidValue, match=message):
            ec.deploy()


# -- places ----------------------------------------------------------------------------------------


def test_every_place(experiment: Experiment, tmp_path: Path) -> None:
    for name, mode in (("a tool", 0o644), ("lib.so", 0o644), ("key", 0o600), ("hello", 0o640)):
        (tmp_path / name).write_text("#!/bin/sh\necho $0 | sed 's,.*/,,'\n")
        (tmp_path / name).chmod(mode)
    (tmp_path / "more/deep").mkdir(parents=True)
    (tmp_path / "more/deep/file").write_text("deep")
    (tmp_path / "more/link").symlink_to("deep/file")
    (tmp_path / "more/out").symlink_to("/etc/passwd")
    command = """
        "${BIN}/a tool"; ${CODE}; stat -c %a ${LIB}/lib.so ${SHARE}/key "${BIN}/a tool" ${CODE}
        cd ${SHARE}/more && cat link && ls
    """
    (printed,) = outputs(
        experiment(),
        bins=f"{tmp_path}/a tool",
        libs=[f"{tmp_path}/lib.so"],
        files=f"{tmp_path}/key; {tmp_path}/more/",
        code=f"{tmp_path}/hello",
        command=command,
    )
    assert printed == "a tool\ncode\n644\n600\n755\n751\ndeepdeep\nlink\n"
    command = "${CODE}/hello; ls ${CODE}; ls ${APP_HOME}"
    (printed,) = outputs(
        experiment(), code=[f"{tmp_path}/hello", f"{tmp_path}/key"], command=command
    )
    assert printed == "hello\nhello\nkey\n1\ncode\n"


def test_a_place_has_what_came_last(experiment: Experiment, tmp_path: Path) -> None:
    """Under one name, a file replaces a directory and the other way round."""
    thing = tmp_path / "thing"
    command = "cat ${SHARE}/thing* ${SHARE}/thing/* 2>/dev/null"
    thing.mkdir()
    (thing / "old").write_text("a directory")
    assert outputs(experiment(), files=str(thing), command=command, okExitCodes="any") == [
        "a directory"
    ]
    (thing / "old").unlink()
    (thing / "new").write_text("another one")
    assert outputs(experiment(), files=str(thing), command=command, okExitCodes="any") == [
        "another one"
    ]
    (thing / "new").unlink()
    thing.rmdir()
    thing.write_text("a file")
    assert outputs(experiment(), files=str(thing), command=command, okExitCodes="any") == ["a file"]


# -- contents --------------------------------------------------------------------------------------


def test_descriptions_keep_paths(experiment: Experiment, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("content " * 1000)
    ec = experiment()
    described = ec.serialize()
    (app,) = applications(ec, bins=str(file), files=[str(file)])
    described = ec.serialize()
    ec.deploy()
    assert ec.wait_finished(app, timeout=60), ec.failures
    assert ec.get(app, "files") == [str(file)]
    assert ec.serialize() == described
    attached = ExperimentController.attach(ec.run_id, settings=ec._replica.settings)
    assert "sha256" not in attached.serialize()
    attached.detach()


def test_many_small_files_travel_as_contents(
    experiment: Experiment, tmp_path: Path, stand: Stand
) -> None:
    paths = [tmp_path / f"file-{number}" for number in range(8)]
    for number, path in enumerate(paths):
        path.write_text(f"{number} " * 1500)
    ec = experiment()
    files = [str(path) for path in paths]
    assert outputs(ec, files=files, command="cat ${SHARE}/file-? | wc -c") == ["24000\n"]
    assert not any("data" in one for one in contents_of(stand, ec).values())
    ec = experiment()
    assert outputs(ec, files=files[:3], command="cat ${SHARE}/file-[0-2] | wc -c") == ["9000\n"]
    assert all("data" in one for one in contents_of(stand, ec).values())


def contents_of(stand: Stand, ec: ExperimentController) -> dict[str, Any]:
    """The contents in the record of the only application."""
    records = stand.backend().run(ec.run_id).records()
    (record,) = [one for one in records if one.rtype == "linux::Application"]
    return dict(record.attributes["contents"])


def test_a_file_that_is_not_there(experiment: Experiment, stand: Stand) -> None:
    ec = experiment()
    applications(ec, files="./absent")
    with pytest.raises(FileMissing, match=r"cannot read ./absent on this machine"):
        ec.deploy()
    assert not ec._replica.known_run


def emptied(stand: Stand) -> Any:
    """A Redis without contents."""
    redis = stand.backend().redis
    ContentStore(redis).forget()
    return redis


def test_limits(experiment: Experiment, tmp_path: Path, stand: Stand) -> None:
    redis = emptied(stand)
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode() * 1_000_000)
    ec = experiment(content_limit=1.0)
    applications(ec, files=str(tmp_path / "one"))
    with pytest.raises(InvalidValue, match="has 3 MB, one content at most 1 MB"):
        ec.deploy()
    for name, limit in (("one", 4.0), ("two", 4.0)):
        ec = experiment(contents_limit=limit)
        applications(ec, files=str(tmp_path / name))
        if name == "one":
            ec.deploy()
    with pytest.raises(InvalidValue, match="Redis holds 3 MB of contents") as caught:
        ec.deploy()
    assert "nepiq forget --contents" in caught.value.hint
    assert ContentStore(redis).forget() == 3_000_000
    assert not list(redis.scan_iter(keys.content("*")))


def test_contents_are_listed_and_freed(
    experiment: Experiment, tmp_path: Path, stand: Stand, user: Installation
) -> None:
    emptied(stand)
    (tmp_path / "file").write_bytes(b"w" * 5_000_000)
    assert outputs(experiment(), files=str(tmp_path / "file"), command="wc -c <${SHARE}/file") == [
        "5000000\n"
    ]
    assert "files of applications: 5 MB" in user.nepiq("ls", "--memory").out
    assert user.nepiq("forget", "--contents").err == "5 MB of contents are forgotten\n"
    assert "files of applications" not in user.nepiq("ls", "--memory").out
    assert user.nepiq("forget").code == 2
    # The host has it still, and the next deployment brings it again.
    command = "wc -c <${SHARE}/file"
    assert outputs(experiment(), files=str(tmp_path / "file"), command=command) == ["5000000\n"]


def test_a_full_redis_refuses_a_content(
    experiment: Experiment, tmp_path: Path, stand: Stand
) -> None:
    redis = emptied(stand)
    (tmp_path / "file").write_bytes(b"x" * 20_000_000)
    ec = experiment()
    applications(ec, files=str(tmp_path / "file"))
    redis.config_set("maxmemory", redis.info()["used_memory"] + 4_000_000)
    try:
        with pytest.raises(RedisUnreachable, match="maxmemory") as caught:
            ec.deploy()
    finally:
        redis.config_set("maxmemory", 0)
    assert "nepiq forget" in caught.value.hint
    assert not list(redis.scan_iter(keys.content("*")))


def test_an_interrupt_leaves_nothing(stand: Stand, tmp_path: Path) -> None:
    redis = emptied(stand)
    file = tmp_path / "file"
    file.write_bytes(b"y" * 9_000_000)
    deposits = Deposits(replace(stand.settings, cache_home=tmp_path / "cache"))
    found = deposits.find([str(file)])

    def interrupt(done: int) -> None:
        # Not under the name by which workers look for it; and soon gone, if its client is killed.
        (key,) = redis.scan_iter(keys.content("*"))
        assert key.count(b":") == 3
        assert 0 < redis.ttl(key) <= 60
        raise KeyboardInterrupt

    (content,) = found.values()
    with pytest.raises(KeyboardInterrupt):
        ContentStore(redis).deposit(
            content.sha256, str(file), lambda: reading(str(file), content), interrupt
        )
    assert not list(redis.scan_iter(keys.content("*")))
    assert redis.hlen(keys.CONTENTS) == 0
    file.write_bytes(b"z" * 9_000_000)
    with pytest.raises(HostError, match="changed while it was read"):
        deposits.bring(ContentStore(redis), found.items())
    assert not list(redis.scan_iter(keys.content("*")))


def test_digests_are_remembered(stand: Stand, tmp_path: Path) -> None:
    memo = tmp_path / "cache/digests.json"
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("one")
    deposits = Deposits(replace(stand.settings, cache_home=tmp_path / "cache"))
    before = deposits.find([str(tree)])
    assert not memo.exists()  # it may change again within the same tick of its clock
    until(lambda: deposits.find([str(tree)]) and memo.exists(), 10.0, "it is not remembered")
    text = memo.read_text()
    assert deposits.find([str(tree)]) == before
    ((states, digest, size),) = json.loads(text).values()
    memo.write_text(json.dumps({str(tree): [states, "0" * 64, size]}))
    assert deposits.find([str(tree)])[str(tree)].sha256 == "0" * 64
    (tree / "file").write_text("two")
    assert deposits.find([str(tree)])[str(tree)].sha256 not in (digest, "0" * 64)
    for nonsense in ("nonsense", "[]", '{"a": 3}', '{"a": ["x", "y", "z"]}'):
        memo.write_text(nonsense)
        assert deposits.find([str(tree)])[str(tree)].kind == "tree"


def test_times_do_not_change_a_content(stand: Stand, tmp_path: Path) -> None:
    deposits = Deposits(replace(stand.settings, cache_home=tmp_path / "cache"))
    found = []
    for name in ("one", "two"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below/file").write_text("content")
        (tmp_path / name / "link").symlink_to("below/file")
        found.append(deposits.find([str(tmp_path / name)]).popitem()[1])
        time.sleep(0.01)  # so that the second one has other times
    assert found[0] == found[1]
