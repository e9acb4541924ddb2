"""Monitoring of an installation: metrics and overdue work."""
