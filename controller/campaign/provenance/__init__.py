"""The provenance of a campaign: the code, the environment and the hosts that its results are of."""

from __future__ import annotations

from .record import Provenance as Provenance
from .source_tree import SourceTree as SourceTree
