"""How actions reach machines."""
