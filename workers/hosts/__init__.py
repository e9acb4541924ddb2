"""Acting on hosts: sessions, the supervisor that runs there, and what follows its journal."""

from __future__ import annotations

from .journal import Beat, Boot, Ended, Entry, Follow, Journal, Lost, follow
from .local import LocalSession
from .pool import SessionPool
from .session import Completed, Session
from .shell import ShellHost
from .ssh import Connection, SshSession
from .streams import Incoming, Outgoing

__all__ = [
    "Beat",
    "Boot",
    "Completed",
    "Connection",
    "Ended",
    "Entry",
    "Follow",
    "Incoming",
    "Journal",
    "LocalSession",
    "Lost",
    "Outgoing",
    "Session",
    "SessionPool",
    "ShellHost",
    "SshSession",
    "follow",
]
