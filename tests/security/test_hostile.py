"""Values that a shell, a path or a protocol would take for more than text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.stand import Stand

from nepiq.controller import ExperimentController, ResourceState
from nepiq.controller.errors import NepiqError
from nepiq.controller.model.names import check_name

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(180)]

# BAIT is a variable of the worker and of its commands: a path without a slash.
INJECTIONS = [
    "$(touch${IFS}$BAIT)",
    "`touch${IFS}$BAIT`",
    "';touch${IFS}$BAIT;'",
    '";touch${IFS}$BAIT;"',
    "x;touch${IFS}$BAIT",
    "x|touch${IFS}$BAIT",
    "x&touch${IFS}$BAIT&",
    "-oProxyCommand=touch${IFS}$BAIT",
    "\ntouch $BAIT\n",
    "$(touch $BAIT)",
    "' $(touch $BAIT) '",
    "\\'; touch $BAIT; \\'",
]
ODD = ["-rf", "--", "../..", "../../../x", "~root", "*", "?[a-z]", "%h%n%%", "${PATH}", "{}"]
ODD += ["'", '"', "\\", "a b\tc\\", "\r\n", "\x1b[31m", "\u202eé漢", "x" * 100_000]
IMPOSSIBLE = ["a\0b", "\udcff\ud800"]
EVERY = [*INJECTIONS, *ODD, *IMPOSSIBLE]


@pytest.fixture(scope="module")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What no test makes."""
    return tmp_path_factory.mktemp("bait") / "touched"


@pytest.fixture(scope="module")
def stand(bait: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A worker whose ssh_config hands names to shells."""
    folder = tmp_path_factory.mktemp("stand")
    config = folder / "config"
    config.write_text(
        'Match exec "test %n = never"\n  User nobody\nHost *\n  ProxyCommand false %h %r %p\n'
    )
    with Stand(folder, BAIT=str(bait), NEPIQ_SSH_CONFIG=str(config)) as made:
        made.start_worker()
        yield made


@pytest.fixture(autouse=True)
def nothing_ran(stand: Stand, bait: Path) -> Iterator[None]:
    """After each test the worker is there and nothing has been executed."""
    yield
    assert stand.workers[0].process.poll() is None
    assert not bait.exists()


def attempt(act: Callable[[], object]) -> str:
    """Do it; what nepiq says against it, if it does. Other errors are errors."""
    try:
        act()
    except (NepiqError, KeyError) as error:
        return str(error) or type(error).__name__
    return ""


@given(st.text())
@example("a\n")
@example("..")
@example("\u0660")
def test_names_are_plain_words(text: str) -> None:
    try:
        name = check_name("label", text)
    except NepiqError:
        return
    assert name.isascii()
    assert (
        name.replace(".", "").replace("_", "").replace("-", "").isalnum() or name.strip("._-") == ""
    )
    assert name[0] != "-"
    assert name not in {".", ".."}


@pytest.mark.parametrize("value", EVERY, ids=range(len(EVERY)))
def test_names_and_packages_are_refused(stand: Stand, value: str) -> None:
    assert "cannot be used as" in attempt(lambda: stand.experiment(value).close())
    with stand.experiment("names") as ec:
        # A blank list of packages is none, and a long plain word may be one.
        fine = not value.strip() or value.isalnum()
        for how in ({"label": value}, *([] if fine else [{"depends": value}])):
            told = attempt(lambda how=how: ec.register_resource("linux::Application", **how))
            assert told, how
        assert attempt(lambda: ec.register_resource("linux::Node", site=value))
        assert attempt(lambda: ec.register_resource(value))


def test_variables_and_input_arrive_as_they_are(stand: Stand) -> None:
    with stand.experiment("values") as ec:
        node = ec.register_resource("linux::Node", label="here")
        apps: dict[int, str] = {}
        for value in EVERY:
            how = {"env": {"V": value}, "stdin": value, "critical": False}
            made: list[int] = []

            def register(how: dict[str, object] = how, made: list[int] = made) -> None:
                command = "printf %s \"$V\"; printf '|'; cat"
                made.append(
                    ec.register_resource(
                        "linux::Application", connectedTo=node, command=command, **how
                    )
                )

            told = attempt(register)
            assert made or told
            apps.update(dict.fromkeys(made, value))
        ec.deploy()
        assert ec.wait_finished(list(apps), timeout=60)
        for app, value in apps.items():
            given = value.encode()
            assert ec.trace(app, "stdout", text=False) == given + b"|" + given
        assert set(apps.values()) == set(EVERY) - set(IMPOSSIBLE)


def test_hosts_users_keys_and_gateways(stand: Stand) -> None:
    with stand.experiment("hosts") as ec:
        nodes = []
        for value in [*INJECTIONS, *ODD[:6], *IMPOSSIBLE]:
            for how in (
                {"hostname": value},
                {"hostname": "host", "username": value},
                {"hostname": "host", "identity": value},
                {"hostname": "host", "gateway": value},
                {"hostname": "host", "gateway": "door", "gatewayUser": value},
                {"hostname": "host", "serverKey": value},
            ):

                def register(how: dict[str, str] = how) -> None:
                    more = {"critical": False, "connectTimeout": "2s"}
                    nodes.append(ec.register_resource("linux::Node", **how, **more))

                attempt(register)
        assert len(nodes) > 40
        ec.deploy()
        assert ec.wait_deployed(nodes, timeout=90)
        states = {ec.state(node) for node in nodes}
        assert states == {ResourceState.FAILED}
        assert not [failure for failure in ec.failures if "Traceback" in str(failure)]


def test_homes(stand: Stand, tmp_path: Path) -> None:
    with stand.experiment("homes") as ec:
        apps: dict[int, Path] = {}
        for number, value in enumerate(EVERY):
            home = f"{tmp_path}/{number}/a/b/c/{value}"

            def register(home: str = home) -> None:
                node = ec.register_resource("linux::Node", home=home, critical=False)
                app = ec.register_resource(
                    *("linux::Application",), connectedTo=node, command="pwd", critical=False
                )
                apps[app] = Path(home)

            attempt(register)
        ec.deploy()
        assert ec.wait_finished(list(apps), timeout=60)
        done = [app for app in apps if ec.state(app) is ResourceState.FINISHED]
        assert len(done) >= len(EVERY) - len(IMPOSSIBLE) - 1  # and the long one
        for app in done:
            told = ec.trace(app, "stdout").removesuffix("\n")
            assert Path(told).resolve().is_relative_to(tmp_path)


def tree(folder: Path) -> set[Path]:
    """All files below a folder."""
    return {path for path in folder.rglob("*") if path.is_file()}


def test_outputs_and_uploads(stand: Stand, tmp_path: Path) -> None:
    home, source, target = tmp_path / "home", tmp_path / "source", tmp_path / "target"
    source.write_text("uploaded")
    (target / "got").mkdir(parents=True)
    with stand.experiment("files") as ec:
        node = ec.register_resource("linux::Node", home=str(home))
        app = ec.register_resource("linux::Application", connectedTo=node, command="echo out")
        ec.deploy()
        assert ec.wait_finished(app, timeout=30)
        # A relative path may lead out of the directory of its start; none here leads further.
        run_dir = home / ".nepiq" / ec.run_id
        before = tree(tmp_path)
        for value in EVERY:
            assert attempt(lambda value=value: ec.trace(app, value))
            # Some are patterns, of which what matches goes into the target and nowhere else.
            attempt(lambda value=value: ec.download(app, value, target / "got"))
            if not attempt(lambda value=value: ec.upload(app, source, value)):
                back = attempt(lambda value=value: ec.download(app, value, target / "back"))
                assert back or (target / "back").read_text() == "uploaded"
        # An upload may go to any path of the user's, so .. leads where it says, and nothing else
        # leads out of the run directory.
        places = {Path(os.path.normpath(run_dir / "1" / v)) for v in EVERY if ".." in v}
        made = tree(tmp_path) - before - {target / "back"} - places
        made = {path for path in made if not path.is_relative_to(target / "got")}
        # What an upload that failed had sent so far waits in the node's own folder.
        parts = run_dir.parent / "transfer"
        outside = [path for path in made if not path.is_relative_to(run_dir)]
        assert [path for path in outside if not path.is_relative_to(parts)] == []
        assert ec.trace(app, "stdout") == "out\n"


def test_a_worker_serves_after_all_that(stand: Stand) -> None:
    with stand.experiment("after") as ec:
        node = ec.register_resource("linux::Node")
        app = ec.register_resource("linux::Application", connectedTo=node, command="echo on")
        ec.deploy()
        assert ec.wait_finished(app, timeout=30)
    assert isinstance(ec, ExperimentController)
