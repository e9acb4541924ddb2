"""Measuring tools: programs on a host with typed options, and figures read from their outputs."""

from __future__ import annotations

from .options import Items, Option, Program, Target, Words
from .tool import RepeatedTool, Tool

__all__ = ["Items", "Option", "Program", "RepeatedTool", "Target", "Tool", "Words"]
