"""Machines as users write them."""

from __future__ import annotations

import pytest

from nepiq.controller.errors import InvalidValue
from nepiq.controller.model.login import Login


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("h", Login("h")),
        (" u@h:22 ", Login("h", "u", 22)),
        ("u@dom@h", Login("h", "u@dom")),
        ("::1", Login("::1")),
        ("[::1]", Login("::1")),
        ("u@[fe80::1%eth0]:2222", Login("fe80::1%eth0", "u", 2222)),
    ],
)
def test_parse(text: str, login: Login) -> None:
    assert Login.parse(text) == login
    assert Login.parse(str(login)) == login


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@h",
        "u@",
        "h:",
        "h:0",
        "h:65536",
        "h:x",
        "h:٣",
        ":22",
        "[::1",
        "[::1]x",
        "u@-h",
        "-oProxyCommand=x",
        "a b",
        "a/b",
    ],
)
def test_what_is_no_machine(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not a machine"):
        Login.parse(text)


def test_chain() -> None:
    first = Login("a", "u", 7)
    assert Login.chain("u@a:7") == first
    assert Login.chain("u@a:7,b") == Login("b", gateway=first)
    with pytest.raises(InvalidValue):
        Login.chain("a,,b")
    with pytest.raises(InvalidValue):
        Login.parse("a,b")


def test_what_a_chain_does_not_say() -> None:
    then = Login("", "me", 2022, identity="/key", accept_new=True)
    last = Login.chain("a,u@b:7", then)
    common = {"identity": "/key", "accept_new": True}
    assert last == Login("b", "u", 7, gateway=Login("a", "me", 2022, **common), **common)  # type: ignore[arg-type]
