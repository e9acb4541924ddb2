"""Requests to a relay from another process."""

# ruff: noqa: T201, PTH123 - this is a program, and starts in half the time without pathlib
from __future__ import annotations

import fcntl
import json
import os
import socket
import sys

NO_RELAY = 3
TRIES = 5  # a relay may end just when it is asked


def ask(path: str) -> None:
    """Pass on the request of standard input, and print the answer."""
    answer = _answer(path, sys.stdin.readline())
    if not answer:
        print("there is no relay", file=sys.stderr)
        sys.exit(NO_RELAY)
    print(answer, end="")
    sys.exit('"error"' in answer)


def use(path: str) -> None:
    """Pass on requests of standard input, to a new relay if there is none; answer a line each."""
    for request in sys.stdin:
        print(_refused(request, _served(path, request)) or "ok", flush=True)


def _served(path: str, request: str) -> str:
    for _ in range(TRIES):
        answer = _answer(path, request)
        if answer:
            return answer
        _start(path)
    sys.exit("the relay ends at once")


def _answer(path: str, request: str) -> str:
    """Return the answer; empty if there is no relay."""
    directory, name = os.path.split(path)
    os.chdir(directory or ".")  # the path of a socket has 107 characters at most
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(name)
            with connection.makefile("rw") as stream:
                stream.write(request)
                stream.flush()
                return stream.readline()
        except OSError:
            return ""


def _refused(request: str, answer: str) -> str:
    """Return what was refused, or is in force with another value; empty if nothing."""
    wrong = []
    for command, figures in zip(json.loads(request), json.loads(answer)):  # noqa: B905 - 3.8
        if "error" in figures:
            wrong.append(figures["error"])
            continue
        for name, value in command.items():
            there = figures.get(name, value) if isinstance(value, (int, float)) else value
            if there != value:
                wrong.append(f"the relay has {name} {there:g}, not {value:g}")
    return "; ".join(wrong)


def _start(path: str) -> None:
    """Start a relay, unless another process has just done so, and wait until it is ready."""
    with open(f"{path}.lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _answer(path, "[]\n"):
            return
        reader, writer = os.pipe()
        if not os.fork():
            os.setsid()
            os.close(reader)
            if os.fork():
                os._exit(0)
            _become_relay(path, writer)
        os.close(writer)
        with open(reader, encoding="utf-8") as stream:
            greeting = stream.read()
        os.wait()
    if not greeting.startswith("ready"):
        sys.exit(greeting or "the relay cannot be started")


def _become_relay(path: str, writer: int) -> None:
    from .server import serve

    null = os.open(os.devnull, os.O_RDWR)
    for file in range(3):
        os.dup2(null, file)
    for file in range(3, 64):  # such as a lock of the shell that has called
        if file != writer:
            try:
                os.close(file)
            except OSError:
                continue
    code = 0
    try:
        for line in serve(path, while_used=True):
            if writer >= 0:
                os.write(writer, line.encode())
                os.close(writer)
                writer = -1
    except Exception as error:  # noqa: BLE001 - the caller reports it
        code = 1
        if writer >= 0:
            os.write(writer, str(error).encode())
    os._exit(code)
