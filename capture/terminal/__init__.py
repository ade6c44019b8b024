"""The terminal that a recorder was started in: what it shows, and its keys."""
