"""Outputs on the page of a run, while they are written."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.web.browser import Browser, Stream
from tests.stand import Stand, until

from nepiq.controller.web.answers import END

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.xdist_group("web"),
    pytest.mark.timeout(120),
]


def texts(stream: Stream) -> Iterator[str]:
    """Yield the end of an output as a page has it, after each message."""
    text = ""
    for kind, data in stream.events():
        if kind == "end":
            return
        assert data["running"]
        keeps = not data["all"] and not data["left_out"]
        text = (text if keeps else "") + data["text"]
        yield text


def followers() -> list[str]:
    """The threads of this process that follow outputs."""
    names = ("nepiq-web-tail", "nepiq-feed", "nepiq-log-events")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names)]


def test_an_output_is_shown_while_it_is_written(
    stand: Stand, browser: Browser, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with stand.experiment("tail", quiet=True) as ec:
        ec.register_resource("linux::Node", label="here")
        command = f"echo first; cat {pipe}; echo last"
        ec.register_resource("linux::Application", label="app", command=command, connectedTo="here")
        ec.deploy()
        ec.wait_started()
        path = f"/runs/{ec.run_id}/resources/2/outputs/stdout"
        with browser.stream(path) as leaves:
            assert any(text == "first\n" for text in texts(leaves))
            assert followers()
        until(lambda: not followers(), 20.0, "an output is followed that no browser shows")
        with browser.stream(path) as stream:
            shown = texts(stream)
            assert next(shown) == "first\n"
            with pipe.open("wb", buffering=0) as written:
                written.write(b"caf\303")  # neither a line nor a character is complete
                assert any(text == "first\ncaf" for text in shown)
                written.write(b"\251 <b>\033[31m\r\n")
                assert any(text == "first\ncaf\u00e9 <b>\\x1b[31m\n" for text in shown)
                written.write(b"much\n" * 100_000 + b"END")
                assert any(text.endswith("END") for text in shown)
                with browser.stream(path) as other:
                    text = next(texts(other))
                    assert len(text) == END
                    assert text.endswith("much\nmuch\nEND")
            assert list(shown)[-1].endswith("ENDlast\n")
        until(lambda: not followers(), 20.0, "the output of what has ended is followed")
        with browser.stream(path) as stream:
            data = stream.until("text")
        size = len(b"first\ncaf\303\251 <b>\033[31m\r\nENDlast\n") + 500_000
        assert (data["running"], data["size"]) == (False, size)
