"""The program: ``python3 -m relay serve SOCKET``, and ``ask SOCKET`` for a request to it.

``serve`` prints ``ready`` when it accepts requests, and the last figures of its ends when it ends,
by SIGTERM or SIGINT. ``ask`` passes on one request from its standard input, and prints the answer.
"""

# ruff: noqa: T201 - this is a program
from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from .loop import Loop
from .netlink import Refused, libc
from .requests import ON_THE_WAY, Requests


def prefer() -> str:
    """Have the kernel run this thread before others; return what it does not permit."""
    lacks = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except OSError as error:
        lacks.append(f"real-time scheduling ({error.strerror})")
    if libc.mlockall(7):  # what is there, and the rest once it is used
        lacks.append("locked memory")
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()
    gc.disable()
    return ", ".join(lacks)


def serve(path: str) -> None:
    """Serve requests at a socket until the end is requested."""
    os.chdir(Path(path).parent)  # the path of a socket has 107 characters at most
    name = Path(path).name
    Path(name).unlink(missing_ok=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    if libc.unshare(0x40000000):  # CLONE_NEWNET
        code = ctypes.get_errno()
        raise Refused(f"cannot make a network namespace: {os.strerror(code)}", code)
    loop = Loop()
    requests = Requests(loop, home)
    signal.signal(signal.SIGTERM, loop.end)
    signal.signal(signal.SIGINT, loop.end)
    os.umask(0o077)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen(16)
    threading.Thread(target=requests.serve, args=[listener], daemon=True).start()
    lacks = prefer()
    print("ready" + (f", without {lacks}" if lacks else ""), flush=True)
    loop.run()
    Path(name).unlink()
    ends = list(loop.ends.values())
    for end in ends:
        with contextlib.suppress(Refused):
            end.detour.shut()
    last = [(end.detour, loop.dismiss(end)) for end in ends]
    if any(figures["held"] for _, figures in last):
        time.sleep(ON_THE_WAY)
    for detour, figures in last:
        detour.close()
        print(json.dumps(figures), flush=True)


def ask(path: str) -> None:
    """Pass on the request of standard input, and print the answer."""
    os.chdir(Path(path).parent)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(Path(path).name)
        with connection.makefile("rw") as stream:
            stream.write(sys.stdin.readline())
            stream.flush()
            print(stream.readline(), end="")


if __name__ == "__main__":
    try:
        {"serve": serve, "ask": ask}[sys.argv[1]](sys.argv[2])
    except Refused as error:
        sys.exit(str(error))
