"""Topologies: graphs of networks, with addresses and options."""
