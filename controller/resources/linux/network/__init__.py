"""The network of a host: interfaces, addresses, routes, tunnels, firewall rules."""
