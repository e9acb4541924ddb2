"""Networks of hosts."""
