"""Descriptions as files: YAML and JSON are read and written, NEPI's XML is read.

A text goes through three forms: plain data with the places where it stands (``yaml_text``,
``json_text``, ``nepi_xml``), a checked :class:`~.schema.Document`, a description (``building``).
Errors are gathered on the way, so that all of them are told at once.
"""

from __future__ import annotations
