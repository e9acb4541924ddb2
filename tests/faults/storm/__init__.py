"""Storms: runs on several worker machines and hosts while faults are drawn from a seed."""
