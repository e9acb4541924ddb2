"""Work that a worker does without a message: sweeping, watching exits, cleaning hosts."""
