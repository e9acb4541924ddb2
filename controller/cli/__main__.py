"""The command ``nepiq``, run as ``python -m nepiq.controller.cli``."""

from __future__ import annotations

import sys

from . import main

sys.exit(main())
