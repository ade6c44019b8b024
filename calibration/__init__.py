"""Where every sensor sits, how it sees, and when."""
