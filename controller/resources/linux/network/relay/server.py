"""The process of the relay."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
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


def serve(path: str, *, while_used: bool = False) -> Iterator[str]:
    """Serve requests at a socket until the end is requested.

    Args:
        path: the socket.
        while_used: end once the last end has been removed, too.

    Yields:
        ``ready``, and what is lacking, when requests are accepted; the last figures of the ends.

    Raises:
        Refused: this kernel or its user lacks something.
    """
    os.chdir(Path(path).parent)  # the path of a socket has 107 characters at most
    name = Path(path).name
    Path(name).unlink(missing_ok=True)
    # Locked as long as this process lives, so that others can wait for its end.
    held = os.open(f"{name}.held", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.fchmod(held, 0o644)
    fcntl.flock(held, fcntl.LOCK_EX)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    if libc.unshare(0x40000000):  # CLONE_NEWNET
        code = ctypes.get_errno()
        raise Refused(f"cannot make a network namespace: {os.strerror(code)}", code)
    loop = Loop()
    requests = Requests(loop, home, while_used=while_used)
    signal.signal(signal.SIGTERM, loop.end)
    signal.signal(signal.SIGINT, loop.end)
    os.umask(0o077)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen(16)
    threading.Thread(target=requests.serve, args=[listener], daemon=True).start()
    threading.Thread(target=requests.watch, daemon=True).start()
    lacks = prefer()
    yield "ready" + (f", without {lacks}" if lacks else "")
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
        yield json.dumps(figures)
