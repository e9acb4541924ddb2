"""Linux machines and what runs on them."""

from __future__ import annotations
