"""Description files: YAML and JSON are read and written, NEPI's XML is only read.

A text is parsed into plain data with positions (``yaml_format``, ``json_format``,
``nepi_xml``), checked as a :class:`~.schema.Document`, and added to a description
(``builder``). Errors are collected on the way and raised together.
"""

from __future__ import annotations
