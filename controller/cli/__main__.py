"""``python -m nepiq.controller.cli`` is the command ``nepiq``."""

from __future__ import annotations

import sys

from . import main

sys.exit(main())
