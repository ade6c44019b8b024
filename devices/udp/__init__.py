"""Sensors that send UDP: one port, one stream."""
