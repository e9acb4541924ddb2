"""A process that holds a run releases it once, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

HEAD = """
import os, signal, sys, threading, time
from nepiq.controller.experiment import ownership
class Owner: pass
owner = Owner()
def release():
    print("released", os.getpid() == pid, flush=True)
pid = os.getpid()
def request():
    print("requested", flush=True)
ownership.hold(owner, release, request)
def hang():
    print("ready", flush=True)
    time.sleep(30)
"""


def script(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pass", 0),
        ("sys.exit(4)", 4),
        ("raise ValueError", 1),
        ("threading.Thread(target=time.sleep, args=(0.1,)).start()", 0),
    ],
)
def test_the_end_of_the_script_releases(text: str, code: int) -> None:
    ended, out, _ = outcome(script(text))
    assert (ended, out) == (code, "released True\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -2)])
def test_signals_release(number: signal.Signals, code: int) -> None:
    process = script("hang()")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    ended, out, _ = outcome(process)
    assert (ended, out) == (code, "released True\n")


def test_what_is_let_go_of_is_not_released() -> None:
    assert outcome(script("assert ownership.holds(owner); ownership.let_go(owner)"))[:2] == (0, "")


def test_a_fork_leaves_the_run_to_its_parent() -> None:
    text = """
    if os.fork() == 0:
        assert not ownership.holds(owner)
        sys.exit(0)
    os.wait()
    """
    assert outcome(script(text))[:2] == (0, "released True\n")


def test_sigterm_ends_a_fork_that_owns_nothing_although_exceptions_are_lost() -> None:
    text = """
        class Swallowed:
            def __del__(self):  # in which Python ignores exceptions
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.1)
        if not os.fork():
            swallowed = Swallowed()
            del swallowed
            os._exit(3)
        print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
        if not os.fork():
            ownership.hold(Owner(), release, request)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
        """
    ended, out, _ = outcome(script(text))
    assert (ended, out) == (0, "-15\nreleased False\n143\nreleased True\n")


def test_a_handler_of_the_script_is_kept() -> None:
    text = """
    import subprocess
    code = '''
    import os, signal
    signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
    from nepiq.controller.experiment import ownership
    ownership.hold(ownership, lambda: None, lambda: None)
    os.kill(os.getpid(), signal.SIGTERM)
    '''
    import textwrap
    print(subprocess.run([sys.executable, "-c", textwrap.dedent(code)],
                         capture_output=True, text=True).stdout)
    """
    assert "mine" in outcome(script(text))[1]


def test_an_error_of_one_release_does_not_keep_others_from_theirs() -> None:
    text = """
    def broken():
        raise RuntimeError("cannot")
    other = Owner()
    ownership.let_go(owner)
    ownership.hold(other, broken, request)
    ownership.hold(owner, release, request)
    """
    code, out, err = outcome(script(text))
    assert (code, out) == (0, "released True\n")
    assert "nepiq: cannot" in err


def test_a_second_interrupt_leaves_without_waiting() -> None:
    """All runs are requested to be released: what was interrupted may not have come to that."""
    text = """
    def slow():
        print("releasing", flush=True)
        time.sleep(30)
    ownership.let_go(owner)
    other = Owner()
    ownership.hold(other, slow, request)
    ownership.hold(owner, release, request)
    """
    process = script(text)
    assert process.stdout is not None
    assert process.stdout.readline() == "releasing\n"
    process.send_signal(signal.SIGINT)
    _, out, err = outcome(process)
    assert out == "requested\nrequested\n"
    assert "the workers go on releasing" in err
