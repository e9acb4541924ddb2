"""Campaigns: many runs of one experiment."""
