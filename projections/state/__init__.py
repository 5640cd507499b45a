"""State: rows as the rules see them, one transaction per batch, and the rebuild."""
