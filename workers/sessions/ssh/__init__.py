"""Sessions with hosts over SSH, by Paramiko."""

from __future__ import annotations

from .connection import Connection
from .session import SshSession

__all__ = ["Connection", "SshSession"]
