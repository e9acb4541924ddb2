"""The space of a campaign: its points, their ids, their order and the seeds of their runs."""

from __future__ import annotations

from .order import Order as Order
from .order import run_seed as run_seed
from .points import Point as Point
from .points import point_id as point_id
from .space import Space as Space
