"""One experiment as data: its resources, connections and conditions."""
