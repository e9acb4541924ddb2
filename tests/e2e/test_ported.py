"""What NEPI's scripts ask of hosts, beyond commands: packages, places, cleaning, undoing."""

from __future__ import annotations

import pytest
from tests.stand import Stand
from tests.testbed.bed import Testbed
from tests.testbed.host import Host

from nepiq.controller import (
    ExperimentController,
    ResourceAction,
    ResourceState,
    TraceAttr,
    TraceNotFound,
)

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]


@pytest.fixture
def host(testbed: Testbed) -> Host:
    """A machine with an SSH server."""
    return testbed.hosts[0]


def outputs(ec: ExperimentController, host: Host, **settings: object) -> str:
    """What one application on the host prints."""
    node = ec.register_resource("linux::Node", hostname=host.name)
    app = ec.register_resource("linux::Application", connectedTo=node, **settings)
    ec.deploy()
    assert ec.wait_finished(app, timeout="30s"), ec.failures
    return str(ec.trace(app, "stdout"))


# --- packages


def test_packages_that_are_there_are_not_installed_again(stand: Stand, host: Host) -> None:
    with stand.experiment() as ec:
        # netcat is what netcat-openbsd provides
        told = outputs(ec, host, command="echo hi", depends="openssh-client, netcat coreutils")
    assert told == "hi\n"
    assert not any("apt-get" in process.args for process in host.processes())


def test_a_package_that_cannot_be_had(stand: Stand, host: Host) -> None:
    with stand.experiment(quiet=True) as ec:
        node = ec.register_resource("linux::Node", hostname=host.name)
        app = ec.register_resource(
            "linux::Application", command="true", depends="bash no-such-thing", connectedTo=node
        )
        ec.deploy()
        assert not ec.wait_finished(app, timeout="60s")
        (failure,) = ec.failures
        assert "apt-get cannot install no-such-thing (exit code " in failure.message
        assert "correct depends" in failure.hint
        assert not ec.reached(app, ResourceState.READY)
        ec.shutdown()


def replace_apt_get(host: Host) -> None:
    """Packages cannot be installed on the test hosts: note what is asked there instead."""
    stub = 'echo "$(id -un) $DEBIAN_FRONTEND $*" >>/tmp/asked'
    host.run(f"mkdir stub; echo '{stub}' >stub/apt-get; chmod +x stub/apt-get")
    host.run("mount --bind /home/lab/stub /usr/local/sbin", user="root")


def test_how_missing_packages_are_installed(stand: Stand, host: Host) -> None:
    replace_apt_get(host)
    with stand.experiment() as ec:
        assert outputs(ec, host, command="echo hi", depends="iperf-9 bash liba:amd64") == "hi\n"
    assert host.run("cat /tmp/asked").stdout == (
        "root noninteractive -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 "
        "install iperf-9 liba:amd64\n"
    )


def test_packages_that_are_given_after_registration(stand: Stand, host: Host) -> None:
    """Even to one that the engine knows already, because another waits for it."""
    replace_apt_get(host)
    with stand.experiment() as ec:
        node = ec.register_resource("linux::Node", hostname=host.name)
        late = ec.register_resource("linux::Application", command="true", connectedTo=node)
        first = ec.register_resource("linux::Application", command="true", connectedTo=node)
        ec.register_condition(first, ResourceAction.STOP, late, ResourceState.STARTED)
        ec.deploy([node, first])
        assert ec.wait_finished(first, timeout="30s")
        assert host.run("ls /tmp").stdout == ""
        ec.set(late, "depends", "iperf-9")
        ec.deploy(late)
        assert ec.wait_finished(late, timeout="30s")
    assert host.run("cat /tmp/asked").stdout.endswith(" install iperf-9\n")


# --- places


def test_places_in_commands_and_variables(stand: Stand, host: Host) -> None:
    # A program where an earlier run would have put what it has built.
    host.run("mkdir -p .nepiq/.usr/bin; echo 'echo \"$PLAIN\"' >.nepiq/.usr/bin/tool")
    host.run("chmod +x .nepiq/.usr/bin/tool")
    with stand.experiment() as ec:
        told = outputs(
            ec,
            host,
            command="echo ${RUN_HOME} ${APP_HOME} ${NODE_HOME} ${EXP_HOME} ${HOME}; pwd; tool",
            env={"PATH": "${BIN}:$PATH", "PLAIN": "$PATH"},
        )
        run = f"/home/lab/.nepiq/{ec.run_id}"
    assert told.split() == [
        *(f"{run}/1/2/1", f"{run}/1/2", f"{run}/1", run, "/home/lab"),
        f"{run}/1/2/1",
        "$PATH",
    ]


def test_what_runs_share_stays_until_the_home_is_cleaned(stand: Stand, host: Host) -> None:
    build = "[ -e ${SHARE}/made ] && echo found || { echo made; touch ${SHARE}/made; }"
    told = []
    for exp_id in ("one", "two"):
        with stand.experiment(exp_id) as ec:
            told.append(outputs(ec, host, command=build))
    assert told == ["made\n", "found\n"]
    assert len(host.run("ls -d .nepiq/2*").stdout.split()) == 2
    with stand.experiment("three") as ec:
        node = ec.register_resource("linux::Node", hostname=host.name, cleanHome=True)
        app = ec.register_resource("linux::Application", command=build, connectedTo=node)
        ec.deploy()
        assert ec.wait_finished(app, timeout="30s")
        assert ec.trace(app, "stdout") == "made\n"
        left = host.run("ls -d .nepiq/2*").stdout.split()
        assert left == [f".nepiq/{ec.run_id}"]


def test_cleaning_the_home_spares_what_runs(stand: Stand, host: Host) -> None:
    with stand.experiment("other") as other:
        node = other.register_resource("linux::Node", hostname=host.name)
        app = other.register_resource(
            "linux::Application", command="exec sleep 100", connectedTo=node
        )
        other.deploy()
        assert other.wait_started(app, timeout="30s")
        with stand.experiment("cleaner") as ec:
            made = ec.register_resource("linux::Node", hostname=host.name, cleanHome=True)
            ec.deploy()
            assert ec.wait_started(made, timeout="30s")
        assert other.state(app) is ResourceState.STARTED, other.failures
        assert host.bearers(f"{other.run_id}.")


# --- the end


def test_undoing(stand: Stand, host: Host) -> None:
    with stand.experiment() as ec:
        node = ec.register_resource(
            "linux::Node", hostname=host.name, tearDown="echo node; id -un >node"
        )
        app = ec.register_resource(
            "linux::Application",
            command="echo 1 >made; exec sleep 100",
            tearDown="[ -e made ] && id -un >/home/lab/app",
            sudo=True,
            hardRelease=True,
            startedWhen="file:made",
            connectedTo=node,
        )
        ec.deploy()
        assert ec.wait_started(app, timeout="30s")
        where = ec.trace(app, "made", TraceAttr.PATH).replace("~", "/home/lab")
    assert ec.failures == []
    assert host.run("cat app node").stdout == "root\nlab\n"
    assert host.run(f"test -e {where}", check=False).returncode == 1


def test_undoing_that_fails_stops_nothing(stand: Stand, host: Host) -> None:
    with stand.experiment() as ec:
        node = ec.register_resource("linux::Node", hostname=host.name, tearDown="exit 3")
        app = ec.register_resource(
            "linux::Application", command="exec sleep 100", tearDown="exit 4", connectedTo=node
        )
        ec.deploy()
        assert ec.wait_started(app, timeout="30s")
    told = {failure.label: failure for failure in ec.failures}
    assert "exited with 4" in told["application-2"].message
    assert "exited with 3" in told["node-1"].message
    assert all(failure.released for failure in told.values())
    assert not host.bearers(f"{ec.run_id}.")


def test_nothing_is_undone_where_nothing_was_done(stand: Stand, host: Host) -> None:
    with stand.experiment() as ec:
        node = ec.register_resource("linux::Node", hostname=host.name, tearDown="touch undone")
        lone = ec.register_resource("linux::Node", hostname="nowhere.invalid", tearDown="true")
        app = ec.register_resource(
            "linux::Application", command="true", tearDown="touch undone", connectedTo=node
        )
        first = ec.register_resource("nepiq::Null")
        ec.register_condition(first, ResourceAction.STOP, [app, lone], ResourceState.STARTED)
        ec.deploy(first)
        assert ec.wait_started(first, timeout="30s")
    assert ec.failures == []
    assert host.run("ls").stdout == ""


def test_the_exit_code_as_a_trace(stand: Stand, host: Host) -> None:
    with stand.experiment() as ec:
        node = ec.register_resource("linux::Node", hostname=host.name)
        ended = ec.register_resource(
            "linux::Application", command="exit 3", okExitCodes="any", connectedTo=node
        )
        runs = ec.register_resource(
            "linux::Application", command="exec sleep 100", connectedTo=node
        )
        ec.deploy()
        assert ec.wait_finished(ended, timeout="30s")
        assert ec.trace(ended, "exitcode") == "3\n"
        assert ec.trace(ended, "exitcode", TraceAttr.SIZE) == 2
        assert ec.get(ended, "exitCode") == 3
        assert ec.wait_started(runs, timeout="30s")
        with pytest.raises(TraceNotFound, match="the resource is STARTED"):
            ec.trace(runs, "exitcode")
        with pytest.raises(TraceNotFound, match="no file"):
            ec.trace(ended, "exitcode", TraceAttr.PATH)
