"""No message shows any part of what may be a password in a URL of Redis, however it is written."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nepiq.controller import ExperimentController
from nepiq.controller.engine.backend import Backend
from nepiq.controller.engine.installation import Observer
from nepiq.controller.engine.redis_connection import connect
from nepiq.controller.errors import InvalidValue, NepiqError
from nepiq.controller.settings import Settings, check_url, redacted_url

#: A piece of each password, in between whatever else it has; hosts are shown in small letters.
MARK = "zqx7"
SIGNS = "@:/?#[]%&=+!$'()*,;\\ \t\n\"<>{}|^`\x00é℀1ap"
PIECES = st.text(st.sampled_from(SIGNS) | st.characters(exclude_categories=["Cs"]), max_size=4)
PASSWORDS = st.lists(PIECES, min_size=1, max_size=4).map(
    lambda pieces: MARK + MARK.join(pieces) + MARK
)
FORMS = (
    "redis://:{}@127.0.0.1:1/0",
    "redis://user:{}@127.0.0.1:1",
    "rediss://us@er:{}@127.0.0.1:1/0?ssl_cert_reqs=none",
    "redis://{}@127.0.0.1:1",
    "redis://127.0.0.1:1?password={}",
    "redis://127.0.0.1:1/0?db=1&ssl_password={}&protocol=3",
    "unix://user:{}@/nowhere/s?db=1",
    "unix:///nowhere/s?password={}",
    "redis+socket://:{}@/nowhere/s?virtual_host=1",
    "foo://:{}@127.0.0.1:1",
    "redis:/:{}@127.0.0.1:1",
    "redis//user:{}@127.0.0.1:1",
    "user:{}@127.0.0.1:1",
    "{}",
)


def told(url: str) -> str:
    """All that is said of a URL by whatever takes it."""
    said = [redacted_url(url)]

    def parts() -> None:
        known = Settings(broker_url=url, state_url=url, connect_timeout=0.01)
        backend = Backend(known)
        said.extend([repr(known), repr(backend)])
        Observer(known).look()

    tries: tuple[Callable[[], object], ...] = (
        parts,
        lambda: check_url("NEPIQ_STATE_URL", url),
        lambda: connect(url, 0.01),
        lambda: ExperimentController(broker_url=url),
    )
    for attempt in tries:
        try:
            attempt()
        except NepiqError as error:
            said += [repr(error), *traceback.format_exception(error)]
    return "\n".join(said).lower()


@settings(max_examples=300, deadline=None)
@given(password=PASSWORDS, form=st.sampled_from(FORMS))
def test_no_part_of_a_password_is_told(password: str, form: str) -> None:
    # What stands before a colon is the name of a user.
    assume(":" not in password or not form.startswith("redis://{}@"))
    assert MARK not in told(form.format(password))


@given(password=PASSWORDS)
@settings(deadline=None)
def test_what_is_percent_encoded_is_taken_and_not_told(password: str) -> None:
    url = f"redis://user:{quote(password, safe='')}@host:6379/0"
    assert check_url("url", url) == url
    assert redacted_url(url) == "redis://user:***@host:6379/0"


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://host:6379/3?socket_timeout=5",
        "rediss://[::1]:6379/0?ssl_ca_certs=/etc/ca.crt",
        "unix:///run/redis/s?db=1",
        "redis+socket:///run/redis/s?virtual_host=1",
    ],
)
def test_urls_without_a_password_are_shown_as_they_are(url: str) -> None:
    assert redacted_url(check_url("url", url)) == url


def test_the_hint_says_how_to_write_a_password() -> None:
    with pytest.raises(InvalidValue) as raised:
        Settings(broker_url="redis://:p@ss:w/rd#1@host")
    assert str(raised.value).startswith("broker_url='redis://***' is not a URL of Redis (")
    assert "write %40 for @" in raised.value.hint


@pytest.mark.parametrize("variable", ["NEPIQ_BROKER_URL", "NEPIQ_STATE_URL"])
@pytest.mark.parametrize(
    "command",
    [
        "nepiq.controller.cli ls",
        "nepiq.controller.cli doctor",
        "nepiq.controller.cli up",
        "nepiq.controller.cli worker",
        "celery -A nepiq.workers.app report",
    ],
)
def test_commands_do_not_tell_it(
    variable: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "redis://:pqq@zqq:wqq/rqq#qq@host")
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], capture_output=True, text=True, check=False
    )
    out = done.stdout + done.stderr
    assert done.returncode != 0
    assert "redis://***" in out
    assert "%40" in out
    assert "qq" not in out, out
