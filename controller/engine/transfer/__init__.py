"""Transfers of bytes between a client and hosts, through Redis."""
