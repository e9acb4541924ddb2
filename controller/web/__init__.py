"""The live page: runs and their resources in a browser, as they change."""

from __future__ import annotations

PORT = 8765
"""The port of ``nepiq web``."""
