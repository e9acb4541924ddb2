"""A signal has its effect, whichever thread of the process the kernel delivers it to."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading

from nepiq.controller.engine import threads


def test_background_threads_receive_none() -> None:
    masks = []
    thread = threading.Thread(target=lambda: masks.append(signal.pthread_sigmask(0, ())))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    threads.start(thread)
    thread.join()
    assert {signal.SIGINT, signal.SIGTERM} <= masks[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_nepiq_run_forwards_what_another_thread_received() -> None:
    script = """
        import signal, subprocess, threading, time
        from nepiq.controller.cli import run

        def interrupt():
            time.sleep(0.3)  # in which the main thread begins to wait
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            time.sleep(60)

        child = subprocess.Popen(["sleep", "60"])
        with run._forward_signals(child):
            threading.Thread(target=interrupt, daemon=True).start()
            print(run._wait(child))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == f"{-signal.SIGINT}\n", done.stderr
