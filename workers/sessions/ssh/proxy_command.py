"""A program that connects: ProxyCommand of ssh_config(5)."""

from __future__ import annotations

import os
import socket
import subprocess

from ..environment import without_secrets
from ..subprocesses import kill_group


class ProxySocket(socket.socket):
    """The near end of a pair of sockets; the far end is a program's input and output.

    The program is ended when it is closed.
    """

    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    def run(cls, command: str) -> ProxySocket:
        """Start the program.

        Args:
            command: text for a shell.

        Raises:
            OSError: there is no shell, or no memory.
        """
        near, far = socket.socketpair()
        with far:
            sock = cls(fileno=near.detach())
            try:
                sock._process = subprocess.Popen(
                    ["/bin/sh", "-c", f"exec {command}"],
                    env=without_secrets(os.environ),
                    stdin=far.fileno(),
                    stdout=far.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except BaseException:
                sock.close()
                raise
        return sock

    def close(self) -> None:
        """Close it, and end the program."""
        super().close()
        process, self._process = self._process, None
        if process is not None:
            kill_group(process)
            process.wait()
