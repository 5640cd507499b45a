"""One process of a role: its wiring, its health, and when it is quiet."""
