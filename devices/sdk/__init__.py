"""Cameras behind a vendor's SDK, which runs in a process of its own: RealSense, OAK."""
