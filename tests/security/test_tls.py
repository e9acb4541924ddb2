"""TLS with a CA of one's own: from the environment to Redis, for the state and for Celery."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.net import answers, free_port, get
from tests.security.certificates import Authority
from tests.security.site import Site
from tests.stand import until

from nepiq.controller.engine.redis_connection import broker_url
from nepiq.controller.errors import InvalidValue
from nepiq.controller.settings import Settings, redacted_url

pytestmark = [
    pytest.mark.needs("redis-server", "openssl", "flock", "setsid"),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA of the site."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def site(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Redis that speaks TLS only, and knows its clients; a worker."""
    port = free_port()
    certificate, key = authority.sign("redis", "127.0.0.1")
    options = ("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "yes")
    options += ("--tls-ca-cert-file", str(authority.certificate))
    options += ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    mine, my_key = authority.sign("client")
    files = {
        "NEPIQ_REDIS_CA": str(authority.certificate),
        "NEPIQ_REDIS_CERT": str(mine),
        "NEPIQ_REDIS_KEY": str(my_key),
    }
    folder = tmp_path_factory.mktemp("tls")
    with Site(folder, options, "rediss", port=port, **files) as made:
        made.start_worker()
        yield made


EXPERIMENT = """
with ExperimentController("tls") as ec:
    node = ec.register_resource("linux::Node", label="here")
    app = ec.register_resource("linux::Application", connectedTo=node, command="echo safe")
    ec.deploy()
    ec.wait_finished(app)
    print(ec.trace(app, "stdout"))
"""


def test_an_experiment_over_tls(site: Site, tmp_path: Path) -> None:
    user = site.user(tmp_path)
    done = user.run(EXPERIMENT)
    assert done.code == 0, done.err
    assert "safe" in done.out
    found = user.nepiq("doctor")
    assert found.code == 0, found.out
    # Nothing of it went over a connection without TLS.
    with site.operator() as operator:
        infos = operator.client_list()
        assert operator.config_get("port") == {"port": "0"}
    mine = [info for info in infos if info["user"] == "nepiq"]
    assert mine
    assert all(info["laddr"].endswith(f":{site.port}") for info in mine)


def test_flower_over_tls(site: Site, tmp_path: Path) -> None:
    port = free_port()
    flower = site.user(tmp_path, NEPIQ_FLOWER_PASSWORD="flower").begin(
        "flower", "--listen", f"127.0.0.1:{port}"
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(f"{url}/healthcheck"), 60.0, "Flower does not answer")
        # It looks the queues up with a client of its own.
        queues = json.loads(get(f"{url}/api/queues/length", "nepiq:flower"))["active_queues"]
        assert {"name": "nepiq.default", "messages": 0} in queues
    finally:
        flower.signal(signal.SIGTERM)
        flower.ended()


def complaint(site: Site, folder: Path, **environment: str) -> str:
    """What a client with another environment is told, soon."""
    patience = {"NEPIQ_CONNECT_TIMEOUT": "60", **environment}
    done = site.user(folder, **patience).nepiq("ls", timeout=40)
    assert done.code in (2, 3), done.err
    assert site.password not in done.err
    return done.complaint


def test_another_ca_is_an_error_and_not_a_hang(site: Site, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    told = complaint(site, tmp_path, NEPIQ_REDIS_CA=str(other.certificate))
    assert "certificate verify failed" in told
    assert "NEPIQ_REDIS_CA must name the CA that signed Redis' certificate" in told


def test_a_worker_with_another_ca_does_not_start(site: Site, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    done = site.user(tmp_path, NEPIQ_REDIS_CA=str(other.certificate)).nepiq("worker")
    assert done.code == 3
    assert "NEPIQ_REDIS_CA" in done.complaint


def test_a_certificate_of_somebody_else(site: Site, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path / "other").sign("intruder")
    told = complaint(site, tmp_path, NEPIQ_REDIS_CERT=str(certificate), NEPIQ_REDIS_KEY=str(key))
    assert "NEPIQ_REDIS_CERT and NEPIQ_REDIS_KEY" in told
    told = complaint(site, tmp_path, NEPIQ_REDIS_CERT="", NEPIQ_REDIS_KEY="")
    assert "NEPIQ_REDIS_CERT and NEPIQ_REDIS_KEY" in told


def test_another_host_than_the_certificate_says(site: Site, tmp_path: Path) -> None:
    urls = {
        name: site.environment[name].replace("127.0.0.1", "localhost")
        for name in ("NEPIQ_BROKER_URL", "NEPIQ_STATE_URL")
    }
    assert "for this host name" in complaint(site, tmp_path, **urls)


def test_no_tls_where_redis_speaks_it(site: Site, tmp_path: Path) -> None:
    urls = {
        name: site.environment[name].replace("rediss://", "redis://")
        for name in ("NEPIQ_BROKER_URL", "NEPIQ_STATE_URL")
    }
    assert "if this port speaks TLS, write rediss://" in complaint(
        site, tmp_path, NEPIQ_CONNECT_TIMEOUT="1", **urls
    )


def test_a_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEPIQ_BROKER_URL", "rediss://redis.lab/0")
    monkeypatch.setenv("NEPIQ_REDIS_CA", "/nowhere/ca.crt")
    with pytest.raises(InvalidValue, match=r"NEPIQ_REDIS_CA='/nowhere/ca.crt' is not a file"):
        Settings.from_environment()


def test_the_url_counts_more_and_plain_ones_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crt"
    file.touch()
    monkeypatch.setenv("NEPIQ_REDIS_CA", str(file))
    monkeypatch.setenv("NEPIQ_BROKER_URL", "redis://redis.lab/0")
    monkeypatch.setenv("NEPIQ_STATE_URL", "rediss://redis.lab/1?ssl_ca_certs=mine.crt")
    settings = Settings.from_environment()
    assert settings.broker_url == "redis://redis.lab/0"
    assert settings.state_url == "rediss://redis.lab/1?ssl_ca_certs=mine.crt"


def test_the_broker_is_never_reached_without_tls_by_mistake() -> None:
    # kombu, told which transport to use, would take rediss:// without options for redis://.
    from nepiq.controller.engine.messaging.celery_app import make_app

    for url in ("rediss://redis.lab/0", "rediss://redis.lab/0?ssl_ca_certs=ca.crt"):
        connection = make_app(broker_url(url)).connection()
        assert connection.ssl["ssl_cert_reqs"].name == "CERT_REQUIRED"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:p%40@h:1/0", "redis://u:***@h:1/0"),
        ("redis://:pp@h/0", "redis://:***@h/0"),
        ("redis://h/0?password=pp&db=1", "redis://***"),
        ("redis://pp@h/0", "redis://***"),
        ("rediss://h/0?ssl_password=pp&qq", "rediss://***"),
        ("rediss://h/0?db=1&ssl_password=pp&db=1", "rediss://h/0?db=1&ssl_password=***"),
        ("rediss://h/0?ssl_password=pp", "rediss://h/0?ssl_password=***"),
        ("unix://u:pp@/run/s?db=1", "unix://u:***@/run/s?db=1"),
        ("redis://h/0", "redis://h/0"),
        ("redis://u:a@b:c@h/0", "redis://u:***@h/0"),
    ],
)
def test_urls_are_shown_without_passwords(url: str, shown: str) -> None:
    assert redacted_url(url) == shown
