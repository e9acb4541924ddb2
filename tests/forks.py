"""Python processes of tests, forked from one that has loaded the modules they need.

Loading modules is four fifths of the processor time of a worker's start, and nearly all of that of
a command, and tests start hundreds of each. Each process that runs tests has one such process. It
does not load :mod:`nepiq.workers.app`, which reads the environment; a fork does, in its own.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = (
    "celery.apps.worker",
    "celery.backends.base",
    "celery.bin.worker",
    "celery.concurrency.thread",
    "celery.events.dispatcher",
    "celery.events.receiver",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.strategy",
    "kombu.transport.redis",
    "nepiq.tasks.campaigns",
    "nepiq.tasks.steps",
    "nepiq.tasks.transfer",
    "nepiq.workers.process.bootsteps",
    "nepiq.workers.runtime.json_logs",
    "nepiq.workers.sessions.ssh.transport",
)
#: Modules of commands that load much which only they need.
_LEFT_OUT = ("monitoring", "web")
#: How the names begin of variables that are read when a program begins.
_EARLY = ("LD_", "PYTHON", "LC_", "LANG", "TZ")
_ROOT = Path(__file__).parents[1]
#: The largest request, in bytes.
_MOST = 1 << 20


def environment() -> dict[str, str]:
    """The environment in which processes find nepiq and its tests, installed or not."""
    path = [str(_ROOT / ".typing"), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONFAULTHANDLER": "1",  # a crash shows where, in what it wrote to stderr
    }


def _suits(env: Mapping[str, str]) -> bool:
    """Whether a fork does for a process with this environment, which it gets late."""
    early = {name: value for name, value in env.items() if name.startswith(_EARLY)}
    return early.items() <= environment().items()


class Forked:
    """A process that the forking process has started, with the methods of ``subprocess.Popen``."""

    def __init__(self, forks: Forks, pid: int, handle: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._forks = forks
        self._handle = handle

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        if self.returncode is None and self._over(0.0):
            self.returncode = self._forks.code(self.pid)
            os.close(self._handle)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code.

        Raises:
            TimeoutExpired: it has not ended in time.
        """
        if self.returncode is None:
            self._over(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("a fork", timeout or 0.0)
        return code

    def _over(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(None if timeout is None else 1000 * timeout))

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        """End it by TERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it by KILL."""
        self.send_signal(signal.SIGKILL)


class Forks:
    """The forking process, as the process that runs tests sees it."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._codes: dict[int, int] = {}
        with other:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(other.fileno())],
                pass_fds=[other.fileno()],
                env=environment(),
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def start(
        self, words: Sequence[str], env: Mapping[str, str], folder: Path, out: Path, err: Path
    ) -> Forked:
        """Start ``python WORD...`` in a session of its own; it writes to files."""
        for path in (out, err):
            path.touch()
        request = {"words": words, "env": dict(env), "folder": str(folder)}
        request |= {"out": str(out), "err": str(err)}
        with self._lock:
            self._socket.send(json.dumps(request).encode())
            while True:
                told, handles, _, _ = socket.recv_fds(self._socket, 1000, 1)
                if handles:
                    return Forked(self, int(told), handles[0])
                self._note(told)

    def code(self, pid: int) -> int:
        """The exit code of a process that has ended; a signal as a negative number."""
        with self._lock:
            while pid not in self._codes:
                self._note(self._socket.recv(1000))
            return self._codes.pop(pid)

    def _note(self, told: bytes) -> None:
        assert told, "the process that forks has ended"
        pid, status = map(int, told.split())
        self._codes[pid] = os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """End it; its forks, which nobody may have left, would go on."""
        self._socket.close()
        self.process.wait(30.0)


@cache
def _forks() -> Forks:
    return Forks()


def start(
    command: Sequence[str], env: Mapping[str, str], folder: Path, out: Path, err: Path
) -> Forked | subprocess.Popen[bytes]:
    """Start a program in a session of its own; Python is a fork, where that makes no difference.

    Args:
        command: ``sys.executable`` with ``-m MODULE`` or a script, ``-u`` before them; or another.
        env: its environment.
        folder: its working directory.
        out: to what its stdout is added.
        err: to what its stderr is added; it may be the same file.
    """
    if command[0] == sys.executable and _suits(env):
        return _forks().start(command[1:], env, folder, out, err)
    with out.open("ab") as stdout, err.open("ab") as stderr:
        return subprocess.Popen(
            command,
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )


def pid() -> int | None:
    """The number of the forking process of this process, if there is one."""
    return _forks().process.pid if _forks.cache_info().currsize else None


def close() -> None:
    """End the forking process of this process, if there is one."""
    if pid() is not None:
        _forks().close()
        _forks.cache_clear()


def serve(number: int) -> dict[str, Any] | None:
    """Fork as asked for; returns the request in each fork, and nothing at the end."""
    for name in (*MODULES, *_commands()):
        importlib.import_module(name)
    gc.freeze()
    awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with socket.socket(fileno=number) as asked:
        while True:
            ready, _, _ = select.select([asked, awake], [], [])
            if awake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(awake, 4096)
                for pid, status in _ended():
                    asked.send(b"%d %d" % (pid, status))
            if asked not in ready:
                continue
            if not (request := asked.recv(_MOST)):
                return None
            if not (pid := os.fork()):
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.set_wakeup_fd(-1)
                os.close(awake)
                os.close(wake)
                return json.loads(request)
            handle = os.pidfd_open(pid)
            socket.send_fds(asked, [b"%d" % pid], [handle])
            os.close(handle)


def _ended() -> list[tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(ended)
    return found


def _commands() -> Iterator[str]:
    """The modules of the command line."""
    import nepiq.controller.cli as package

    for path in sorted(Path(package.__path__[0]).glob("[a-z]*.py")):
        if path.stem not in _LEFT_OUT:
            yield f"{package.__name__}.{path.stem}"


def become(request: dict[str, Any]) -> None:
    """Become the process that was asked for."""
    os.setsid()
    for number, path in ((1, request["out"]), (2, request["err"])):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    tempfile.tempdir = None
    # What it reads from the environment it has read in that of the forking process.
    importlib.reload(sys.modules["nepiq.workers.runtime.fault_injection"])
    words = request["words"]
    if words[0] == "-u":
        del words[0]
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True, line_buffering=True)  # type: ignore[union-attr]
    if words[0] == "-m":
        sys.argv[1:] = words[2:]
        sys.path[0] = os.getcwd()  # noqa: PTH109 - a text, as Python puts it there
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        _run_script(words)


def _run_script(words: list[str]) -> None:
    """Run a script as Python does, whose ``__main__`` outlives the last line."""
    sys.argv[:] = words
    sys.path[0] = str(Path(words[0]).resolve().parent)
    module = sys.modules["__main__"] = ModuleType("__main__")
    vars(module).update(__file__=words[0], __builtins__=__builtins__, __cached__=None)
    code = compile(Path(words[0]).read_bytes(), words[0], "exec", dont_inherit=True)
    exec(code, vars(module))


if __name__ == "__main__":
    gc.disable()
    if asked := serve(int(sys.argv[1])):
        gc.enable()
        become(asked)
