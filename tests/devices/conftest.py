"""Hypothesis searches the same examples on every run, and takes the time that a busy machine needs."""

from hypothesis import settings

settings.register_profile("fieldrig", deadline=None, derandomize=True)
settings.load_profile("fieldrig")
