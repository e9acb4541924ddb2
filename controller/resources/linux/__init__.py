"""Linux machines and the applications on them."""

from __future__ import annotations
