"""A traffic shaper for nepiq experiments."""

from __future__ import annotations

from .shaper import TrafficShaper

__all__ = ["TrafficShaper"]
