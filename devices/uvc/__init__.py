"""USB cameras."""
