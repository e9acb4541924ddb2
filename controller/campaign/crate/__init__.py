"""Crates of campaigns: folders with all that a campaign is published and repeated with."""
