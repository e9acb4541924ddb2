"""Hosts as steps act on them: attempts, the supervisor, and its journal of exits."""

from __future__ import annotations

from ..sessions.local import LocalSession
from ..sessions.pool import SessionPool
from ..sessions.session import Completed, Session
from .attempt import Attempt
from .byte_streams import Incoming, Outgoing
from .exit_journal import (
    Boot,
    Dismantled,
    Entry,
    Follow,
    HostHeartbeat,
    Journal,
    Lost,
    ProcessExit,
    Restarted,
    follow,
)
from .shell_host import ShellHost

__all__ = [
    "Attempt",
    "Boot",
    "Completed",
    "Dismantled",
    "Entry",
    "Follow",
    "HostHeartbeat",
    "Incoming",
    "Journal",
    "LocalSession",
    "Lost",
    "Outgoing",
    "ProcessExit",
    "Restarted",
    "Session",
    "SessionPool",
    "ShellHost",
    "follow",
]
