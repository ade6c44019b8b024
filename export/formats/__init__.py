"""Dataset formats, one folder each: how it is laid out, written and checked."""
