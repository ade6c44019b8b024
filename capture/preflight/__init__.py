"""Preflight: whether this rig on this machine can be recorded now; facts are measured first, then judged by pure functions."""
