"""Files of the live page that a browser loads."""
