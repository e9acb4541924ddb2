"""Addresses that something listens on."""

from __future__ import annotations

import pytest

from nepiq.controller.errors import InvalidValue
from nepiq.controller.settings import endpoint, shown_endpoint


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:9108", "lab.example:65535"])
def test_what_is_read_is_shown_again(text: str) -> None:
    assert shown_endpoint(*endpoint("--listen", text)) == text


@pytest.mark.parametrize("text", ["", "9108", ":9108", "a:b", "a:65536", "a:-1"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"is not ADDRESS:PORT"):
        endpoint("--listen", text)
