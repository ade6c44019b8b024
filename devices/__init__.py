"""What a sensor is, how its bytes arrive, how they decode, and where it is mounted."""
