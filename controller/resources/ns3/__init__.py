"""Simulations of ns-3: programs, simulated networks as resources, and links to real ones."""
