"""Topologies: graphs of networks, their addresses and options."""
