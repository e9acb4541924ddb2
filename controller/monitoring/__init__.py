"""Metrics of an installation, and what is overdue in it."""
