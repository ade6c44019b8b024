"""GNSS receivers: NMEA and UBX, over serial, TCP or from a file."""
