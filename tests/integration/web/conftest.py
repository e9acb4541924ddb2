"""An installation with its live pages, which all tests of them share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.integration.web.browser import Browser
from tests.stand import Stand

from nepiq.controller import (
    Campaign,
    ExperimentController,
    ResourceAction,
    ResourceState,
    Space,
)
from nepiq.controller.campaign.causes import Blame
from nepiq.controller.campaign.quarantine import Quarantine
from nepiq.controller.campaign.row import FAILED
from nepiq.controller.campaign.space import point_id
from nepiq.controller.engine.store import keys
from nepiq.controller.web.server import WebServer

EVIL = "<script>alert('x')</script>\x1b[31m\u202e"
SHOWN = r"<script>alert('x')</script>\x1b[31m\u202e"


@pytest.fixture(scope="package")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        made.start_worker()
        yield made


@pytest.fixture(scope="package")
def server(stand: Stand) -> Iterator[WebServer]:
    with WebServer(stand.settings, port=0).beside() as made:
        yield made


@pytest.fixture
def browser(server: WebServer) -> Browser:
    return Browser(server.port, server.token)


@pytest.fixture(scope="package")
def ec(stand: Stand) -> Iterator[ExperimentController]:
    """A run with an application that waits for its user, and one that has failed."""
    with stand.experiment("shown", quiet=True) as made:
        made.register_resource("linux::Node", label="here")
        app = {"rtype": "linux::Application", "connectedTo": "here", "critical": False}
        made.register_resource(**app, label="long", command="echo first; exec sleep 600")
        made.register_resource(**app, label="bad", command="cat; echo oops >&2; exit 3", stdin=EVIL)
        made.register_resource(**app, label="later", command="true")
        made.register_resource(**app, label="evil", command="cat >&2; exit 3", stdin=EVIL)
        made.register_condition("bad", ResourceAction.START, "long", ResourceState.STARTED)
        made.register_condition("later", ResourceAction.START, "long", ResourceState.STOPPED)
        made.deploy()
        assert made.wait(["bad", "evil"], ResourceState.FAILED, timeout=30)
        yield made


def failing(stand: Stand, name: str) -> Campaign:
    """A campaign of two points, twice each, of which the second fails."""
    ec = stand.experiment(name)
    ec.register_resource("linux::Node", label="here")
    ec.register_resource(
        "linux::Application",
        label="app",
        connectedTo="here",
        stdin=EVIL,
        command="test ${code} = 0 || cat >&2; exit ${code}",
    )
    space = Space.points([{"code": 0, "text": "plain"}, {"code": 3, "text": EVIL}])
    metrics = {"exit": "app.exitCode"}
    options = {"repetitions": 2, "metrics": metrics, "settings": stand.settings}
    return stand.owned(Campaign(ec, space, **options))


def judged(stand: Stand, name: str, parameters: Mapping[str, Any]) -> None:
    """Let runs of a campaign have failed because of a host, and at a point on three others."""
    quarantine, now = Quarantine(8), time.time()
    for point in ("p", "p", "q"):
        quarantine.record(EVIL, point, FAILED, Blame.HOST, now)
    for host in ("a", "b", "c"):
        quarantine.record(host, point_id(parameters), FAILED, Blame.HOST, now)
    backend = stand.backend()
    token = backend.redis.hget(keys.campaign(name) + "state", "token")
    data = {"size": quarantine.size, **quarantine.to_data()}
    backend.campaign(name).judge(token.decode(), data, quarantine.hosts)
