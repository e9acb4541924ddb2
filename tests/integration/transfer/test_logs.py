"""Lines of applications, as they come and afterwards."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable

import pytest
from tests.integration.transfer.conftest import Site

from nepiq.controller.engine.transfer import flow_control
from nepiq.controller.errors import AnswerError, NotAllowed
from nepiq.controller.experiment import waiting
from nepiq.controller.experiment.logs import Frames, LogLine

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]


def by_stream(lines: Iterable[LogLine]) -> dict[tuple[str, str], list[str]]:
    found = defaultdict(list)
    for label, stream, line in lines:
        found[label, stream].append(line)
    return dict(found)


def test_afterwards(site: Site) -> None:
    site.app("echo a; echo b >&2; printf 'no end'", label="small")
    site.app("seq 10000", label="large")
    site.app("true", label="mute")
    site.ec.deploy()
    assert site.ec.wait_finished(timeout=30.0)
    found = by_stream(site.ec.logs())
    assert found.pop(("large", "stdout")) == [str(n) for n in range(1, 10001)]
    assert found == {("small", "stdout"): ["a", "no end"], ("small", "stderr"): ["b"]}
    assert by_stream(site.ec.logs("small", follow=True)) == found
    late = site.ec.register_resource("linux::Application", command="true")
    with pytest.raises(NotAllowed):
        list(site.ec.logs(late))


def test_they_come_while_they_run(site: Site) -> None:
    """The next word is written only when the last one has been heard."""
    app = site.app(
        "for n in 1 2 3; do echo word $n; while [ ! -e heard-$n ]; do sleep 0.01; done; done",
        label="app",
    )
    site.ec.deploy()
    heard = []
    for label, stream, line in site.ec.logs(follow=True):
        assert (label, stream) == ("app", "stdout")
        heard.append(line)
        (site.run_dir(app) / f"heard-{line.split()[1]}").touch()
    assert heard == ["word 1", "word 2", "word 3"]
    assert site.ec.wait_finished(app, timeout=30.0)


def test_much_of_several(site: Site) -> None:
    count = 30_000
    for number in range(3):
        site.app(f"seq {count}; seq {count} >&2; printf end", label=f"app-{number}")
    site.ec.deploy()
    found = by_stream(site.ec.logs(follow=True))
    wanted = [str(n) for n in range(1, count + 1)]
    for number in range(3):
        assert found[f"app-{number}", "stdout"] == [*wanted, "end"]
        assert found[f"app-{number}", "stderr"] == wanted


def test_an_end_that_only_a_snapshot_shows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a lost connection to Redis, or a long silence."""
    monkeypatch.setattr(waiting, "SILENCE", 0.001)
    for number in range(30):
        site.app(f"sleep {0.02 * number:.2f}; echo {number}", label=f"app-{number}")
    site.ec.deploy()
    found = by_stream(site.ec.logs(follow=True))
    assert found == {(f"app-{number}", "stdout"): [str(number)] for number in range(30)}


def test_a_worker_is_killed_while_they_come(
    own_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_control, "SILENCE", 5.0)
    count = 600
    own_site.app(f"for n in $(seq {count}); do echo $n; sleep 0.01; done", label="app")
    own_site.ec.deploy()
    found = []
    for line in own_site.ec.logs(follow=True):
        found.append(line.line)
        if len(found) == 50:
            own_site.stand.workers[-1].signal(9)
            own_site.stand.workers[-1].ended()
            own_site.stand.start_worker("second")
    assert found == [str(n) for n in range(1, count + 1)]


def test_an_application_that_is_started_again(site: Site) -> None:
    app = site.app("echo started; while [ ! -e stop ]; do sleep 0.02; done", label="app")
    other = site.app("while [ ! -e stop ]; do sleep 0.02; done", label="other")
    site.ec.deploy()
    starts = 0
    for _ in site.ec.logs(follow=True):
        starts += 1
        (site.run_dir(app).parent / str(starts) / "stop").touch()
        assert site.ec.wait_finished(app, timeout=30.0)
        if starts == 1:
            site.ec.start(app)
        else:
            (site.run_dir(other) / "stop").touch()
    assert starts == 2


@pytest.mark.parametrize("then", ["exec sleep 300", "yes"])
def test_whoever_stops_listening_leaves_nothing(site: Site, then: str) -> None:
    app = site.app(f"echo hello; {then}", label="app")
    site.ec.deploy()
    lines = site.ec.logs(app, follow=True)
    assert next(lines).line == "hello"
    time.sleep(1.0)  # more comes than is taken
    began = time.monotonic()
    lines.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 5.0
    # Threads that are left are found when the stand ends.


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_frames_are_cut_anywhere(size: int) -> None:
    text = b"data 5/1/stdout 0 12\nbeat\nlines\n\0beat\ndata 6/1/stderr 7 1\nx" + b"beat\n"
    frames, found = Frames({"5/1/stdout", "6/1/stderr"}), {}
    for at in range(0, len(text), size):
        for file, place, data in frames.cut(text[at : at + size]):
            found[file, place] = data
    assert b"".join(found[key] for key in sorted(found) if key[0][0] == "5") == b"beat\nlines\n\0"
    assert found["6/1/stderr", 7] == b"x"


@pytest.mark.parametrize(
    "sent",
    [
        b"data 7/1/stdout 0 3\nabc",  # of another host
        b"data 5/1/stdout -1 3\nabc",
        b"data 5/1/stdout 0\n",
        b"hello\n",
        b"\xff\n",
        b"x" * 100_000,
    ],
)
def test_a_host_speaks_of_what_it_is_asked(sent: bytes) -> None:
    with pytest.raises(AnswerError):
        list(Frames({"5/1/stdout"}).cut(sent))
