"""From sources to a recording on disk, and back."""
