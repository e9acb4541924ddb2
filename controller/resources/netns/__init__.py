"""Emulated hosts and networks in network namespaces of a host."""
