"""Sessions: connections on which commands run, on this machine and over SSH."""
